package esdbtest

import (
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
)

// TestFilter: which of some streams, whose events have types after their names, are told by which filter.
func TestFilter(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	for _, s := range []string{
		"order-1", "order-2", "orders", "user-1", "$settings", "$$order-1", "$projections-x",
		"$persistentsubscription-$all::group-checkpoint", "$persistentsubscription-$all::group-parked", "$persistentsubscription-order::group-parked",
	} {
		w.must(s, Proposed{ID: id('x'), Type: "of-" + s, Data: []byte("{}")})
	}
	stream := func(regex string, prefix ...string) *streams.ReadReq_Options_FilterOptions {
		return &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
			StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefix},
		}}
	}
	kind := func(regex string, prefix ...string) *streams.ReadReq_Options_FilterOptions {
		return &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_EventType{
			EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefix},
		}}
	}
	own := []string{"$settings", "$$order-1", "$projections-x", "$persistentsubscription-order::group-parked"}
	for _, row := range []struct {
		name   string
		filter *streams.ReadReq_Options_FilterOptions
		want   []string
	}{
		{"none", nil, append([]string{"order-1", "order-2", "orders", "user-1"}, own...)},
		{"a prefix", stream("", "order-"), []string{"order-1", "order-2"}},
		{"a whole name", stream("", "order-1"), []string{"order-1"}},
		{"prefixes", stream("", "order-", "user-"), []string{"order-1", "order-2", "user-1"}},
		{"a prefix of none", stream("", "invoice-"), nil},
		{"no prefixes", stream(""), nil},
		{"the empty prefix", stream("", ""), append([]string{"order-1", "order-2", "orders", "user-1"}, own...)},
		{"the server's own", stream("", "$"), own},
		{"the hidden ones by name", stream("", epochs, "$persistentsubscription-$all::"), nil},
		{"an expression", stream("^order-"), []string{"order-1", "order-2"}},
		{"an expression anywhere", stream("der"), []string{"order-1", "order-2", "orders", "$$order-1", "$persistentsubscription-order::group-parked"}},
		{"all but the server's own", stream(`^[^\$].*`), []string{"order-1", "order-2", "orders", "user-1"}},
		{"an expression goes before prefixes", stream("^user", "order"), []string{"user-1"}},
		{"types by prefix", kind("", "of-order-"), []string{"order-1", "order-2"}},
		{"types by expression", kind("-1$"), []string{"order-1", "user-1", "$$order-1"}},
		{"hidden by types", kind("^[$]epoch"), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			options := []option{fromStart}
			if row.filter != nil {
				row.filter.Window = &streams.ReadReq_Options_FilterOptions_Count{Count: empty}
				row.filter.CheckpointIntervalMultiplier = 1
				options = append(options, filtered(row.filter))
			}
			told, err := w.story(options...)
			var want []string
			for _, s := range row.want {
				want = append(want, "0@"+s)
			}
			if diff := cmp.Diff(want, told); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	t.Run("an expression of .NET's", func(t *testing.T) {
		t.Parallel()
		f := stream(`^(?!\$)`)
		f.Window = &streams.ReadReq_Options_FilterOptions_Count{Count: empty}
		_, err := w.story(fromStart, filtered(f))
		if got := said(err, nil); !strings.HasPrefix(got, "Unimplemented") {
			t.Errorf("got %s", got)
		}
	})
}
