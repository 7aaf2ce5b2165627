package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
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
	if s.Code() == codes.Unavailable {
		return fmt.Errorf("no ledger answers; is \"ledger serve\" running there? %s (%s)", s.Message(), s.Code())
	}
	return fmt.Errorf("%s (%s)", s.Message(), s.Code())
}

// right is a cell that stands at the right end of its column, as figures do.
type right string

// table writes rows under headings, or says that there are none. A heading stands as the cells below it do.
func table(w io.Writer, none string, headings []any, rows [][]any) {
	if len(rows) == 0 {
		fmt.Fprintln(w, none)
		return
	}
	all := append([][]any{headings}, rows...)
	widths := make([]int, len(headings))
	figures := make([]bool, len(headings))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(plain(cell)))
			figures[i] = figures[i] || isFigure(cell)
		}
	}
	for _, row := range all {
		line := &strings.Builder{}
		for i, cell := range row {
			text := plain(cell)
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if figures[i] {
				text, gap = gap+text, ""
			}
			line.WriteString(text + gap + "  ")
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func isFigure(cell any) bool {
	switch cell.(type) {
	case right, int, int64, uint32:
		return true
	}
	return false
}

// plain is a value without what would move a terminal's cursor or colour its text: names and errors come from others.
func plain(value any) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, fmt.Sprint(value))
}

// enumName is a value as people write it: "partial_refund" of ORDER_TYPE_PARTIAL_REFUND.
func enumName(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := ed.Values().ByNumber(n)
	if v == nil {
		return strconv.Itoa(int(n)) // of a newer server
	}
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), enumPrefix(ed)))
}

// enumPrefix is what the names of an enum's values begin with: "ORDER_TYPE_".
func enumPrefix(ed protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(ed.Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// nameOf is an enum's value as people write it.
func nameOf(e protoreflect.Enum) string { return enumName(e.Descriptor(), e.Number()) }

// inWords is an amount with its currency; "-" if there is none.
func inWords(m *ledgerv1.Money) string {
	if m == nil {
		return "-"
	}
	return money.Format(m) + " " + m.GetCurrencyCode()
}

// printJSON writes messages as one JSON array.
func printJSON[M proto.Message](w io.Writer, messages []M) error {
	out, err := rawJSON(messages...)
	if err != nil {
		return err
	}
	return printIndented(w, out)
}

func rawJSON[M proto.Message](messages ...M) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, len(messages))
	for i, m := range messages {
		b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

func printIndented(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
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

// dayOf writes the day of an instant, in UTC; "-" if there is none.
func dayOf(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Format(time.DateOnly)
}
