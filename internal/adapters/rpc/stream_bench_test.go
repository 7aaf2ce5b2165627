package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// BenchmarkLongStream measures what a payment costs, its request and its success, on a stream of 10,000 events beside
// streams of about ten. What a command costs must not grow with the life that is behind it.
func BenchmarkLongStream(b *testing.B) {
	log, err := sqlite.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	runner := aggregate.NewRunner(log, subscription.Type())
	long := begin(b, runner, "long", 5000)
	const few = 200
	var short []*weekly
	for i := range few {
		short = append(short, begin(b, runner, fmt.Sprint("short", i), 5))
	}
	var onLong, onShort []time.Duration
	b.ResetTimer()
	for i := range b.N {
		at := time.Now()
		short[i%few].pay(b)
		onShort = append(onShort, time.Since(at))
		at = time.Now()
		long.pay(b)
		onLong = append(onLong, time.Since(at))
	}
	b.ReportMetric(float64(median(onLong))/float64(median(onShort)), "ratio")
	b.ReportMetric(float64(median(onLong).Microseconds()), "µs/long")
	b.ReportMetric(float64(median(onShort).Microseconds()), "µs/short")
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// weekly is a subscription that is paid every week.
type weekly struct {
	runner *aggregate.Runner[subscription.State]
	stream string
	now    time.Time
	number uint32
}

// begin starts a subscription and makes so many payments.
func begin(b *testing.B, r *aggregate.Runner[subscription.State], id string, payments int) *weekly {
	b.Helper()
	s := &weekly{runner: r, stream: subscription.Stream("acme", id), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	start := startRequest(id, "tok_ok")
	start.Terms = &ledgerv1.Terms{
		ProductId: "p", ProductName: "P", PricePoint: 1, Kind: subscription.Recurring, Period: ledgerv1.Period_PERIOD_WEEKLY,
		Regular: &ledgerv1.Amounts{Base: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 100}},
	}
	s.do(b, "start", subscription.Start{Now: s.now, Number: 1, Request: start, Merchant: "acme", ID: id, Gateway: "sandbox",
		Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST})
	s.settle(b)
	for range payments - 1 {
		s.pay(b)
	}
	return s
}

// pay lets the next payment become due and succeed.
func (s *weekly) pay(b *testing.B) {
	s.now = s.now.Add(7 * 24 * time.Hour)
	s.do(b, fmt.Sprint("wake", s.number), subscription.Wake{Now: s.now})
	s.settle(b)
}

func (s *weekly) settle(b *testing.B) {
	s.number++
	s.do(b, fmt.Sprint("settle", s.number), subscription.SettlePayment{Now: s.now, Number: s.number, Attempt: 1,
		Reference: fmt.Sprint("ch_", s.number), Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 100},
		Method: &ledgerv1.PaymentMethod{Reference: "pm_1"}})
}

func (s *weekly) do(b *testing.B, id string, c aggregate.Command[subscription.State]) {
	b.Helper()
	res, err := s.runner.Do(context.Background(), s.stream, aggregate.Request{ID: id, Actor: "bench", At: s.now}, c)
	if err != nil || len(res.Events) == 0 {
		b.Fatalf("%s on %s: %d events, %v", id, s.stream, len(res.Events), err)
	}
}
