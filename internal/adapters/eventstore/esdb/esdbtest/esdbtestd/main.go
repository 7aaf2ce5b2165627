//go:build unix

// Command esdbtestd serves the double of an EventStoreDB node in a process of its own, so that tests can run against
// one as they would against the vendor's: another process, which can be killed, stopped and restarted.
//
// It prints its connection string, and "restarted" after each SIGUSR1, which restarts it in place: connections are
// reset and the port and the log stay. It ends with its standard input, and by SIGTERM. Its log ends with it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "listen on `host:port`")
	dir := flag.String("tls", "", "be secure, and write the authority's certificate into this `directory`")
	version := flag.String("version", esdbtest.Version, "say this `release`")
	flag.Parse()
	cfg := esdbtest.Config{Addr: *addr, Version: *version}
	if err := run(cfg, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "esdbtestd:", err)
		os.Exit(1)
	}
}

func run(cfg esdbtest.Config, dir string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM, os.Interrupt)
	if dir != "" {
		ca, err := esdbtest.NewAuthority(dir)
		if err != nil {
			return err
		}
		if cfg.TLS, err = ca.Issue(); err != nil {
			return err
		}
	}
	s, err := esdbtest.New(cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println(s.URL())
	parent := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started this is gone
		close(parent)
	}()
	for {
		select {
		case got := <-signals:
			if got != syscall.SIGUSR1 {
				return nil
			}
			if err := s.Restart(); err != nil {
				return err
			}
			fmt.Println("restarted")
		case <-parent:
			return nil
		}
	}
}
