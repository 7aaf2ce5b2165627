package esdb

import "github.com/prometheus/client_golang/prometheus"

// metrics count what goes wrong with the log and is mended by itself, so that somebody can see how often.
type metrics struct {
	connections   prometheus.Counter
	retries       *prometheus.CounterVec
	subscriptions prometheus.Counter
	dropped       prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "ledger", Subsystem: "log", Name: name, Help: help}
	}
	m := &metrics{
		connections:   prometheus.NewCounter(counter("connections_total", "Connections made to the log's nodes.")),
		retries:       prometheus.NewCounterVec(counter("retries_total", "Calls to the log that were tried again."), []string{"call"}),
		subscriptions: prometheus.NewCounter(counter("subscriptions_total", "Subscriptions to the log, the first of each follower and those after a fault.")),
		dropped:       prometheus.NewCounter(counter("repeated_events_total", "Events that a node delivered again and no follower got twice.")),
	}
	if r != nil {
		r.MustRegister(m.connections, m.retries, m.subscriptions, m.dropped)
	}
	return m
}
