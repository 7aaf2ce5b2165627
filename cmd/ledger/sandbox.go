package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
)

func sandboxCommand() *cobra.Command {
	var addr, dir string
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "run the sandbox gateway alone",
		Long: `sandbox runs the sandbox gateway alone: a payment gateway to play with, whose
tokens choose what goes wrong. "ledger serve" runs one of its own; a connection
that names this one's URL uses this one.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLoopback(addr); err != nil {
				return configError{fmt.Errorf("--http %q: %w", addr, err)}
			}
			s, err := sandbox.NewServer(sandbox.ServerConfig{Dir: dir, Clock: clock.Wall{}, Logger: logger(cmd.ErrOrStderr())})
			if err != nil {
				return storeError(err)
			}
			defer s.Close()
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return fmt.Errorf("--http: %w (LISTEN)", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "sandbox gateway at http://%s, book in %s\n", l.Addr(), dir)
			return serveHTTP(cmd.Context(), l, s)
		},
	}
	cmd.Flags().StringVar(&addr, "http", "127.0.0.1:8090", "address; loopback only")
	cmd.Flags().StringVar(&dir, "data-dir", "ledger-sandbox", "where its book lies")
	return cmd
}
