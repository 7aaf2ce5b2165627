package bus_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if anything that a stopped bus or a closed subscriber has started still runs. What the suite's own
// helper leaves behind, which merges many subscribers into one channel that nobody reads to its end, does not count.
func TestMain(m *testing.M) {
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"))
}
