//go:build !unix

package esdbtest

// reserve does nothing here: the port is free while nobody listens on it.
func reserve(string) (release func(), err error) { return func() {}, nil }
