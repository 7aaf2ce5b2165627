package esdbtest

import (
	"net"
	"os"
	"syscall"
)

// reserve binds a port without listening on it. Callers are refused as on a free port, but nobody else can be given
// it, not even as the near end of a connection: a client that dials a free port of its own machine again and again
// ends up connected to itself.
func reserve(addr string) (release func(), err error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return func() {}, err
	}
	family, at := syscall.AF_INET, syscall.Sockaddr(nil)
	if ip4 := tcp.IP.To4(); ip4 != nil {
		at = &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip4)}
	} else {
		family, at = syscall.AF_INET6, &syscall.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP)}
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return func() {}, os.NewSyscallError("socket", err)
	}
	release = func() { _ = syscall.Close(fd) }
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		release()
		return func() {}, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, at); err != nil {
		release()
		return func() {}, os.NewSyscallError("bind", err)
	}
	return release, nil
}
