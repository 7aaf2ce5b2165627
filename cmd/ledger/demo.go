package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ledger.internal/ledger/internal/aggregate"
)

// The demo's story: how many subscriptions, from when, for how long.
const (
	demoSubscriptions = 240
	demoDays          = 426 // fourteen months
)

func demoBegins() time.Time { return time.Date(2025, time.January, 1, 9, 0, 0, 0, time.UTC) }

// demoOptions are what the command line says about a demo.
type demoOptions struct {
	IPNDir string
	Keep   string
	Log    string
	Seed   uint64
	JSON   bool
}

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "live through fourteen months of 240 subscriptions",
		Long: `demo starts a whole ledger on free loopback ports in a temporary directory: the
API, the sandbox gateway over HTTP, and a merchant's receiver of notifications.
It drives subscriptions of every kind through fourteen months with a clock of
its own, checks every promise the ledger makes, and reports. It exits with 1 if
anything is off.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLog("--log", o.Log); err != nil {
				return err
			}
			return demo(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.IPNDir, "ipn-dir", "", "write every acknowledged notification to a file of its own here")
	cmd.Flags().StringVar(&o.Keep, "keep", "", "keep the ledger's data in this directory, which must not exist or be empty")
	logFlag(cmd.Flags(), &o.Log)
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "draws who buys what and what goes wrong")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "report as JSON")
	return cmd
}

// demo runs the story and reports.
func demo(ctx context.Context, o demoOptions, out, progress io.Writer) error {
	dir, cleanup, err := demoDir(o.Keep)
	if err != nil {
		return err
	}
	defer cleanup()
	receiver, err := newReceiver(o.IPNDir)
	if err != nil {
		return err
	}
	defer receiver.close()

	s, err := open(ctx, config{
		DataDir: dir, Log: o.Log, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Clock: "manual", ClockStart: demoBegins().Format(time.RFC3339),
		GatewayTimeout: 500 * time.Millisecond, // some of the sandbox's gateways never answer
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.wantEmpty(ctx); err != nil {
		return err
	}

	ctx, stop := context.WithCancel(ctx)
	running := make(chan error, 1)
	go func() { running <- s.run(ctx) }()
	report, err := tell(ctx, s, o, receiver, progress)
	stop()
	if err := errors.Join(err, <-running); err != nil {
		return err
	}
	if o.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		report.print(out)
	}
	if n := len(report.Violations); n > 0 {
		return fmt.Errorf("%d promises were broken", n)
	}
	return nil
}

// wantEmpty refuses a log in which something was told already.
func (s *service) wantEmpty(ctx context.Context) error {
	head, err := s.log.Head(ctx)
	if err == nil && !head.IsZero() {
		err = configError{aggregate.InvalidField("--log", "LOG_NOT_EMPTY", "the log at %s holds events; the demo needs an empty one", s.place)}
	}
	return err
}

// tell lives through the story and looks at what came of it.
func tell(ctx context.Context, s *service, o demoOptions, r *receiver, progress io.Writer) (*demoReport, error) {
	conn, err := grpc.NewClient(s.grpc.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	st := newStory(conn, s.sandboxURL, r, o.Seed)
	began := time.Now()
	if err := st.live(ctx, progress); err != nil {
		return nil, fmt.Errorf("on %s: %w", st.now.Format(time.DateOnly), err)
	}
	report, err := st.report(ctx, s)
	if err != nil {
		return nil, err
	}
	report.Seed, report.Seconds = o.Seed, time.Since(began).Seconds()
	return report, nil
}

// demoDir is where the demo's ledger lies: a temporary directory, or the one to keep.
func demoDir(keep string) (dir string, cleanup func(), err error) {
	if keep == "" {
		dir, err = os.MkdirTemp("", "ledger-demo-")
		return dir, func() { os.RemoveAll(dir) }, err
	}
	if entries, err := os.ReadDir(keep); err == nil && len(entries) > 0 {
		return "", nil, configError{fmt.Errorf("--keep %s: the directory is not empty", keep)}
	}
	return keep, func() {}, os.MkdirAll(keep, 0o700)
}
