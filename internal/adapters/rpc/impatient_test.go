package rpc

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// oneConn is a listener with a single connection.
type oneConn struct {
	net.Conn
	once sync.Once
	end  chan struct{}
}

func (l *oneConn) Accept() (c net.Conn, err error) {
	err = net.ErrClosed
	l.once.Do(func() { c, err = l.Conn, nil })
	if err != nil {
		<-l.end
	}
	return c, err
}

func (l *oneConn) Addr() net.Addr { return l.LocalAddr() }

func (l *oneConn) Close() error { close(l.end); return nil }

// TestAnswersThatAreNotReadEnd has a client that asks and then reads nothing, over a pipe that holds nothing.
func TestAnswersThatAreNotReadEnd(t *testing.T) {
	t.Parallel()
	client, side := net.Pipe()
	defer func() { _ = client.Close() }()
	ended := make(chan error, 1)
	server := HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		impatient := &impatientWriter{ResponseWriter: w, deadline: http.NewResponseController(w), patience: 10 * time.Millisecond}
		var err error
		for err == nil {
			_, err = impatient.Write(make([]byte, 64<<10))
		}
		ended <- err
	}))
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(&oneConn{Conn: side, end: make(chan struct{})}) })
	defer running.Wait()
	defer func() { _ = server.Close() }()
	if _, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing ended with %v, want os.ErrDeadlineExceeded", err)
	}
}
