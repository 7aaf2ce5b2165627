//go:build unix

package esdbtest_test

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// TestConnectionStrings: the vendor's client finds its way by each of them.
func TestConnectionStrings(t *testing.T) {
	t.Parallel()
	process, _ := esdbtest.StartProcess(t)
	cluster := esdbtest.StartCluster(t, 3)
	must(t, cluster.Elect(1)) // the node that is named first does not lead
	secureCluster := esdbtest.StartCluster(t, 3, secure(t))
	for name, target := range map[string]string{
		"one":              esdbtest.Start(t).URL(),
		"secure":           esdbtest.Start(t, secure(t)).URL(),
		"process":          process,
		"cluster":          cluster.URL(),
		"discover":         cluster.DiscoverURL(),
		"secure cluster":   secureCluster.URL(),
		"without features": esdbtest.Start(t, func(c *esdbtest.Config) { c.NoFeatures = true }).URL(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, err := esdb.ParseConnectionString(target)
			must(t, err)
			config.Logger = esdb.NoopLogging()
			c, err := esdb.NewClient(config)
			must(t, err)
			defer c.Close()
			stream, id := "vendor-"+name, eventID(1)
			_, err = c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}},
				esdb.EventData{EventID: id, EventType: "counted", ContentType: esdb.ContentTypeJson, Data: []byte("{}")})
			must(t, err)
			read, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 10)
			must(t, err)
			defer read.Close()
			if e, err := read.Recv(); err != nil || e.Event.EventID != id {
				t.Errorf("read %v, %v, want the event", e, err)
			}
		})
	}
}
