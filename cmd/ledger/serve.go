package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	var cfg config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the ledger",
		Long: `serve runs the ledger: gRPC, REST, and everything that charges, refunds, wakes
and tells.

Without settings it keeps everything in ./ledger-data, and on an empty store
makes a merchant "default" with a connection "sandbox" to the sandbox gateway
that it runs on a free loopback port.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.check(); err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, cmd.OutOrStdout(), logger(cmd.ErrOrStderr()))
		},
	}
	cfg.flags(cmd.Flags())
	return cmd
}

// logger writes for people on a terminal, and JSON lines elsewhere.
func logger(w io.Writer) *slog.Logger {
	if isTerminal(w) {
		return slog.New(tint.NewTextHandler(w, &tint.Options{TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// isTerminal reports whether a person reads along.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// serve runs a ledger until ctx ends.
func serve(ctx context.Context, cfg config, out io.Writer, log *slog.Logger) error {
	s, err := open(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.seed(ctx); err != nil {
		return err
	}
	if !cfg.Quiet {
		fmt.Fprintf(out, "ledger %s: gRPC %s, REST http://%s, admin http://%s, sandbox %s, data in %s\n",
			version(), s.grpc.Addr(), s.http.Addr(), s.admin.Addr(), s.sandboxURL, s.cfg.DataDir)
	}
	return s.run(ctx)
}
