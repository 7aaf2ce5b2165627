package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is the demo's merchant: it takes notifications, checks what a careful merchant checks, and answers now
// and then with an error, so that they come again.
type receiver struct {
	server *http.Server
	addr   string
	dir    string // where bodies go; "" for nowhere

	mu      sync.Mutex
	secrets map[string]string // signing secret by merchant
	seen    map[string]bool   // webhook-ids that came, acknowledged or not
	bodies  map[string]string // body by acknowledged webhook-id
	types   map[string]int    // acknowledged notifications by type
	last    map[string]int64  // the last acknowledged order by merchant and subscription
	faults  []string
	repeats int
	refused int
	willing bool // refuses nothing any more
}

func newReceiver(dir string) (*receiver, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{
		addr: l.Addr().String(), dir: dir, secrets: map[string]string{}, seen: map[string]bool{},
		bodies: map[string]string{}, types: map[string]int{}, last: map[string]int64{},
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go r.server.Serve(l) // ends with close
	return r, nil
}

func (r *receiver) close() { r.server.Close() }

func (r *receiver) url(merchant string) string { return "http://" + r.addr + "/ipn/" + merchant }

// expect tells with which secret a merchant's notifications are signed.
func (r *receiver) expect(merchant, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[merchant] = secret
}

// refuseNothing has everything taken from now on.
func (r *receiver) refuseNothing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.willing = true
}

// count is how many different notifications were acknowledged.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

// ServeHTTP takes one notification.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	merchant := strings.TrimPrefix(req.URL.Path, "/ipn/")
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := req.Header.Get("webhook-id")
	if err := r.check(merchant, req.Header, body); err != nil {
		r.faults = append(r.faults, fmt.Sprintf("notification %s: %v", id, err))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !r.willing && !r.seen[id] && len(r.seen)%23 == 7 {
		r.seen[id] = true
		r.refused++
		http.Error(w, "come again", http.StatusServiceUnavailable)
		return
	}
	r.seen[id] = true
	if err := r.take(merchant, id, string(body)); err != nil {
		r.faults = append(r.faults, err.Error())
	}
}

// check is what a careful merchant checks before he believes a notification. The clock of the demo runs ahead, so the
// age of the signature says nothing here.
func (r *receiver) check(merchant string, h http.Header, body []byte) error {
	wh, err := standardwebhooks.NewWebhook(r.secrets[merchant])
	if err != nil {
		return err
	}
	if err := wh.VerifyIgnoringTimestamp(body, h); err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return err
	}
	if got := form.Get("secret_key"); got != "shared-"+merchant {
		return fmt.Errorf("secret_key is not the merchant's")
	}
	return nil
}

// take books one acknowledged notification: once per id, in order per subscription.
func (r *receiver) take(merchant, id, body string) error {
	if earlier, ok := r.bodies[id]; ok {
		r.repeats++
		if earlier != body {
			return fmt.Errorf("notification %s came again with another body", id)
		}
		return nil
	}
	r.bodies[id] = body
	form, _ := url.ParseQuery(body) // checked before
	r.types[form.Get("transaction_type")]++
	order, err := strconv.ParseInt(form.Get("transaction_id"), 10, 64)
	if err != nil {
		return fmt.Errorf("notification %s: transaction_id %q", id, form.Get("transaction_id"))
	}
	// An order's id begins with its subscription's number, also where the notification names no subscription.
	of := merchant + "/" + strconv.FormatInt(order/10_000, 10)
	if order <= r.last[of] {
		return fmt.Errorf("notification %s: order %d came after %d", id, order, r.last[of])
	}
	r.last[of] = order
	if r.dir == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(r.dir, id+".txt"), []byte(body), 0o600)
}
