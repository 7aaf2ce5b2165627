package sandbox

// Sign is for tests that send a webhook again.
var Sign = sign
