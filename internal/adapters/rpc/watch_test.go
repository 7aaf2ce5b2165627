package rpc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/aggregate/event"
)

// watched receives until n events came and, with them or after, the news that all older ones were sent.
func watched(t testing.TB, stream grpc.ServerStreamingClient[ledgerv1.WatchEventsResponse], n int) (events []*ledgerv1.RecordedEvent, last string) {
	t.Helper()
	for caughtUp := false; len(events) < n || n == 0 && !caughtUp; {
		m, err := stream.Recv()
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(events), n, err)
		}
		caughtUp = caughtUp || m.CaughtUp
		if m.Event != nil {
			events = append(events, m.Event)
		}
		last = m.Position
	}
	return events, last
}

func (w *world) watch(ctx context.Context, merchant, from string) grpc.ServerStreamingClient[ledgerv1.WatchEventsResponse] {
	w.t.Helper()
	stream, err := ledgerv1.NewSubscriptionServiceClient(w.conn).WatchEvents(ctx, &ledgerv1.WatchEventsRequest{MerchantId: merchant, From: from})
	w.ok(err)
	return stream
}

func TestWatchTellsTheMerchantsEventsAndGoesOnLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("MerchantService/CreateMerchant", &ledgerv1.CreateMerchantRequest{RequestId: "m", MerchantId: "acme2", Name: "Other"}, &ledgerv1.MerchantResponse{})
	w.start("s1", "tok_pending", 20*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := w.watch(ctx, "acme", "")
	first, at := watched(t, stream, 3)
	if s := first[0].Event.GetSubscriptionStarted(); s.GetSubscriptionId() != "s1" || s.GetPaymentMethodToken() != "" {
		t.Errorf("got %v first, want the start of s1 without its token", first[0])
	}
	w.start("s2", "tok_silent", 0)
	live, _ := watched(t, stream, 2)
	if live[0].SubscriptionId != "s2" {
		t.Errorf("got an event of %s live, want of s2", live[0].SubscriptionId)
	}
	// Again from where the first three ended: only what came after.
	again, _ := watched(t, w.watch(ctx, "acme", at), 2)
	if again[0].EventId != live[0].EventId {
		t.Errorf("got %s after %s, want %s", again[0].EventId, at, live[0].EventId)
	}
	// The other merchant, whose name begins the same, hears nothing.
	if events, _ := watched(t, w.watch(ctx, "acme2", ""), 0); len(events) != 0 {
		t.Errorf("another merchant hears of %v", events)
	}
}

func TestWatchFromNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for from, reason := range map[string]string{
		"garbage": "POSITION_INVALID", "1": "POSITION_INVALID", "-1-1": "POSITION_INVALID",
		event.Position{Commit: 1 << 40, Prepare: 1 << 40}.String(): "POSITION_AHEAD",
	} {
		_, err := w.watch(t.Context(), "acme", from).Recv()
		check(t, err, "InvalidArgument", reason)
	}
	_, err := w.watch(t.Context(), "nobody", "").Recv()
	check(t, err, "NotFound", "NOT_FOUND")
	_, err = w.watch(t.Context(), "a/b", "").Recv()
	check(t, err, "InvalidArgument", "ID_INVALID")
}

func TestWatchOverREST(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_silent", 0)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.http.URL+"/v1/merchants/acme/events:watch", nil)
	w.ok(err)
	res, err := http.DefaultClient.Do(req)
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	var got []string
	for lines := bufio.NewScanner(res.Body); len(got) < 3 && lines.Scan(); {
		var m ledgerv1.WatchEventsResponse
		line := strings.TrimSuffix(strings.TrimPrefix(strings.ReplaceAll(lines.Text(), `"result": {`, `"result":{`), `{"result":`), "}")
		if err := protojson.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		if m.CaughtUp {
			got = append(got, "caught up")
		} else {
			got = append(got, m.Event.GetType())
		}
	}
	if want := "[subscription_started payment_requested caught up]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSlowWatcherIsLeft lets a client take nothing until the server has given up on it.
func TestSlowWatcherIsLeft(t *testing.T) {
	t.Parallel()
	log := memory.New()
	w := bareWorld(t, log, func(c *rpc.Config) { c.SlowConsumer = 50 * time.Millisecond })
	w.must("MerchantService/CreateMerchant", &ledgerv1.CreateMerchantRequest{RequestId: "m", MerchantId: "acme", Name: "Acme"}, &ledgerv1.MerchantResponse{})
	big := &ledgerv1.Event{
		Kind: &ledgerv1.Event_BuyerUpdated{BuyerUpdated: &ledgerv1.BuyerUpdated{BuyerId: strings.Repeat("x", 60_000)}},
	}
	var prev []byte
	for i := range event.Revision(20) {
		big.Metadata = &ledgerv1.Metadata{RecordedAt: timestamppb.New(start), OccurredAt: timestamppb.New(start), Actor: "test", RequestId: "r"}
		raw, err := event.Encode(prev, "subscription-acme.s1", i, event.ID("s", "r", int(i)), big)
		w.ok(err)
		prev = big.Metadata.GetHash()
		_, err = log.Append(t.Context(), "subscription-acme.s1", i-1, raw)
		w.ok(err)
	}
	left := w.logged.wait("slow watcher")
	stream := w.watch(t.Context(), "acme", "")
	<-left
	for n := 0; ; n++ {
		_, err := stream.Recv()
		if err == nil && n < 20 {
			continue
		}
		if errors.Is(err, io.EOF) {
			t.Fatal("the stream ended as if all were told")
		}
		check(t, err, "ResourceExhausted", "SLOW_CONSUMER")
		if n >= 20 {
			t.Errorf("all %d events came through (%v); the test is too small", n, status.Code(err))
		}
		return
	}
}
