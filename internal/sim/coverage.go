package sim

// exercised is how many seeds exercise everything below at least once.
const exercised = 5000
