package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// client is what the commands that talk to a running ledger have in common.
type client struct {
	address string
	asJSON  bool
}

func (c *client) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.address, "grpc", "127.0.0.1:9090", "address of the running ledger's gRPC")
	note(cmd.Flags().Lookup("grpc"), isSetting)
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "as JSON")
}

// dial connects to the ledger; nothing is sent before the first call.
func (c *client) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// call runs f against the running ledger and makes its errors readable.
func (c *client) call(ctx context.Context, f func(context.Context, *grpc.ClientConn) error) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	return readable(f(ctx, conn))
}

// readable turns a status into the sentence in it and its reason.
func readable(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return fmt.Errorf("%s (%s)", s.Message(), info.Reason)
		}
	}
	return fmt.Errorf("%s (%s)", s.Message(), s.Code())
}

// table writes rows under headings, or says that there are none.
func table(w io.Writer, none string, headings []any, rows [][]any) {
	if len(rows) == 0 {
		fmt.Fprintln(w, none)
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]any{headings}, rows...) {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, cell)
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
}

// printJSON writes messages as one JSON array.
func printJSON[M proto.Message](w io.Writer, messages []M) error {
	out := make([]json.RawMessage, len(messages))
	for i, m := range messages {
		b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			return err
		}
		out[i] = b
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// when writes an instant for people; "-" if there is none.
func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Format(time.DateTime)
}

// pages collects all pages of a list.
func pages[T any](page func(token string) ([]T, string, error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		items, next, err := page(token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		token = next
	}
}
