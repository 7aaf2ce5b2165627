package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/event/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLog(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) event.Log { return memory.New() }, storetest.Options{})
}
