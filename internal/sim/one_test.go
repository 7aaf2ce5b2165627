package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestOne(t *testing.T) {
	if os.Getenv("SEED") == "" {
		t.Skip()
	}
	seed := number(t, "SEED", 0)
	r := run(t, seed, plan{verbose: true})
	least, kept := r, 0
	if os.Getenv("SHRINK") != "" {
		least, kept = shrink(t, r)
	}
	fmt.Println(seed, r.mix, kept)
	fmt.Println(strings.Join(least.trace, "\n"))
	fmt.Println(strings.Join(least.violations, "\n"))
}
