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
	return newService(cfg, log).serve(ctx, out)
}

func (s *service) serve(ctx context.Context, out io.Writer) error {
	defer s.close()
	s.patient = true
	err := s.open(ctx)
	if err == nil {
		err = s.seed(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // ended while it waited
		}
		return err
	}
	letIn := s.admit
	s.admit = func() { letIn(); s.welcome(out) }
	return s.run(ctx)
}

// welcome says where the ledger listens. Whoever reads that is let in.
func (s *service) welcome(out io.Writer) {
	if !s.cfg.Quiet {
		fmt.Fprintf(out, "ledger %s: gRPC %s, REST http://%s, admin http://%s, sandbox %s, data in %s%s\n",
			version(), s.grpc.Addr(), s.http.Addr(), s.admin.Addr(), s.sandboxURL, s.cfg.DataDir, s.whereLog())
	}
}

// whereLog names a log that is elsewhere.
func (s *service) whereLog() string {
	if !s.place.elsewhere() {
		return ""
	}
	return ", log at " + s.place.String()
}
