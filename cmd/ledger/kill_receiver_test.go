package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"ledger.internal/ledger/internal/sim/invariant"
)

// receiverCommand is the name under which the test binary is a merchant's receiver, in a process of its own.
const receiverCommand = "kill-receiver"

// heard is one notification as the receiver prints it, before he answers: who is killed then cannot have been told
// what the receiver has not printed.
type heard struct {
	Path   string
	Header http.Header
	Body   string
	At     time.Time
	Taken  bool
}

// receive says where it listens, then prints every notification that comes, as a line of JSON. Now and then it refuses
// one that it sees for the first time, so that this one comes again.
func receive() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("http://%s\n", l.Addr())
	var mu sync.Mutex
	seen := map[string]bool{}
	out := json.NewEncoder(os.Stdout)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("webhook-id")
		n := heard{Path: r.URL.Path, Header: r.Header, Body: string(body), At: time.Now(), Taken: seen[id] || len(seen)%23 != 7}
		seen[id] = true
		if err := out.Encode(n); err != nil || !n.Taken {
			http.Error(w, "come again", http.StatusServiceUnavailable)
		}
	})}
	fmt.Fprintln(os.Stderr, server.Serve(l)) // until the process is ended
}

// hearing is what the harness knows of the notifications: the lines of the receiver's process, checked as a careful
// merchant does. It leaves the checking to the demo's merchant, who is one.
type hearing struct {
	merchant *receiver
	receipts []invariant.Receipt
}

func newHearing() *hearing {
	return &hearing{merchant: &receiver{
		secrets: map[string]string{}, bodies: map[string]string{}, types: map[string]int{}, last: map[string]int64{},
	}}
}

// line takes a line of the receiver's.
func (h *hearing) line(text string) {
	r := h.merchant
	r.mu.Lock()
	defer r.mu.Unlock()
	var n heard
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		r.faults = append(r.faults, fmt.Sprintf("the receiver printed %q: %v", text, err))
		return
	}
	id := n.Header.Get("webhook-id")
	err := r.check(killMerchant, n.Header, []byte(n.Body))
	h.receipts = append(h.receipts, invariant.Receipt{
		Merchant: killMerchant, Endpoint: killEndpoint, WebhookID: id, Body: n.Body, At: n.At,
		Genuine: err == nil, Acknowledged: n.Taken,
	})
	if err == nil && n.Taken {
		err = r.take(killMerchant, id, n.Body)
	}
	if err != nil {
		r.faults = append(r.faults, fmt.Sprintf("notification %s: %v", id, err))
	}
}
