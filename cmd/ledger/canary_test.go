package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway/payabl/payabltest"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

// aviary is a whole ledger with a secret of its own, a canary, in every setting and every field that is marked as secret.
// Nothing that it says or writes may hold one.
type aviary struct {
	t        *testing.T
	dir      string
	conn     *grpc.ClientConn
	http     string
	canaries map[string]string // by where each was planted
	said     bytes.Buffer
	mu       sync.Mutex
}

// Write implements io.Writer: it is the ledger's log, and all that it answers.
func (a *aviary) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said.Write(b)
}

// canary is the secret that is planted at a place.
func (a *aviary) canary(place, prefix string) string {
	c := fmt.Sprintf("%scanary%02d", prefix, len(a.canaries))
	a.canaries[place] = c
	return c
}

// settings plants a canary in every secret setting of every gateway there is.
func (a *aviary) settings(c *config, stripeURL string) (flags []string) {
	all := c.settings()
	values := map[string]string{"stripe-url": stripeURL, "stripe-connect-url": stripeURL, "stripe-test-client-id": "ca_test"}
	prefixes := map[string]string{"stripe-live-key": "sk_live_", "stripe-test-key": "sk_test_", "stripe-webhook-secrets": "whsec_"}
	for _, kind := range c.Gateways {
		for _, s := range kind.Settings() {
			if s.Secret {
				values[s.Name] = a.canary("--"+s.Name, prefixes[s.Name])
			}
			if err := all.Set(s.Name, values[s.Name]); err != nil {
				a.t.Fatal(err)
			}
			flags = append(flags, "--"+s.Name+"="+values[s.Name])
		}
	}
	return flags
}

// plant plants a canary in every secret field of a request that holds nothing yet.
func (a *aviary) plant(method string, r proto.Message) {
	m := r.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		if !secretField(fd) {
			continue
		}
		place := fmt.Sprintf("%s.%s %d", method, fd.Name(), len(a.canaries))
		if m.Has(fd) {
			a.canaries[place] = m.Get(fd).String()
		} else {
			m.Set(fd, protoreflect.ValueOfString(a.canary(place, "")))
		}
	}
}

func secretField(fd protoreflect.FieldDescriptor) bool {
	secret, _ := proto.GetExtension(fd.Options(), ledgerv1.E_Secret).(bool)
	return secret
}

// call makes a request with canaries in it, wants a reason for an answer or none, and keeps what is answered.
func (a *aviary) call(method, reason string, r, answer proto.Message) {
	a.t.Helper()
	a.plant(method, r)
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	err := a.conn.Invoke(ctx, "/ledger.v1.ConnectionService/"+method, r, answer, letIn)
	s := status.Convert(err)
	fmt.Fprintln(a, answer, s.Proto())
	if (reason == "") != (err == nil) || !strings.Contains(s.Proto().String(), reason) {
		a.t.Errorf("%s: got %v, want %q", method, err, reason)
	}
}

// get keeps what an address answers.
func (a *aviary) get(url string, status int) {
	a.t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Fprintln(a, resp.Header)
	if _, err := io.Copy(a, resp.Body); err != nil || resp.StatusCode != status {
		a.t.Errorf("%s: got %s, %v; want %d", url, resp.Status, err, status)
	}
}

func TestNothingTellsASecret(t *testing.T) {
	t.Parallel()
	a := &aviary{t: t, dir: t.TempDir(), canaries: map[string]string{}}
	bank := payabltest.NewServer("m1", "canary_right", time.Now)
	t.Cleanup(bank.Close)
	platform := httptest.NewUnstartedServer(nil)
	cfg := config{DataDir: a.dir, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	flags := a.settings(&cfg, "http://"+platform.Listener.Addr().String())
	cfg.DataDir, cfg.GRPC, cfg.HTTP, cfg.Admin = a.dir, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	stripe := stripetest.New(stripetest.Config{Key: a.canaries["--stripe-test-key"], ClientID: "ca_test", WebhookSecret: a.canaries["--stripe-webhook-secrets"]})
	stripe.AddAccount(stripetest.Account{ID: "acct_1", Name: "A shop"})
	platform.Config.Handler = stripe
	platform.Start()
	t.Cleanup(stripe.Close)

	_, printed, errs := inMemory(append([]string{"config", "print", "--json"}, flags...)...)
	fmt.Fprintln(a, printed, errs)
	_, printed, errs = inMemory(append([]string{"config", "check"}, append(flags, "--stripe-test-key="+a.canary("a key of no mode", ""))...)...)
	fmt.Fprintln(a, printed, errs)

	a.live(cfg, bank.URL(), stripe, platform.Close)
	a.everyFieldWasPlanted()
	a.wantNone("what was said", a.said.Bytes())
	a.wantNoneInFiles()
}

// live takes connections through all that may become of them, well and badly.
func (a *aviary) live(cfg config, bankURL string, stripe *stripetest.Server, leave func()) {
	a.t.Helper()
	ctx, stop := context.WithCancel(a.t.Context())
	s, err := open(ctx, cfg, slog.New(slog.NewJSONHandler(a, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err == nil {
		err = s.seed(ctx)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	a.conn, err = grpc.NewClient(s.grpc.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		a.t.Fatal(err)
	}
	a.http = "http://" + s.http.Addr().String()

	a.connectByCredentials(bankURL)
	a.connectByConsent(stripe)
	leave()
	a.call("RequestConsent", "", &ledgerv1.RequestConsentRequest{MerchantId: firstMerchant, RequestId: "r3", ConnectionId: "shop"}, &quiet{})
	a.call("DisconnectConnection", "GATEWAY_UNREACHABLE", &ledgerv1.DisconnectConnectionRequest{MerchantId: firstMerchant, RequestId: "d1", ConnectionId: "shop", Reason: "sold"}, &ledgerv1.ConnectionResponse{})
	a.call("ListConnections", "", &ledgerv1.ListConnectionsRequest{MerchantId: firstMerchant}, &ledgerv1.ListConnectionsResponse{})
	a.get("http://"+s.admin.Addr().String()+"/readyz", http.StatusOK)
	a.get("http://"+s.admin.Addr().String()+"/debug/pprof/cmdline", http.StatusNotFound) // it would show the flags

	err = a.conn.Close()
	stop()
	if err := errors.Join(err, <-ended, s.close()); err != nil {
		a.t.Error(err)
	}
}

// quiet is an answer that holds what its reader alone may see.
type quiet struct {
	ledgerv1.RequestConsentResponse
}

func (*quiet) String() string { return "" }

func (a *aviary) connectByCredentials(bankURL string) {
	a.t.Helper()
	answer := func() *ledgerv1.ConnectionResponse { return &ledgerv1.ConnectionResponse{} }
	create := func(id, gateway, url, secret string) *ledgerv1.CreateConnectionRequest {
		return &ledgerv1.CreateConnectionRequest{MerchantId: firstMerchant, RequestId: id, ConnectionId: id, Gateway: gateway, Url: url, Account: "m1", Secret: secret}
	}
	replace := func(request, id, secret string) *ledgerv1.ReplaceCredentialsRequest {
		return &ledgerv1.ReplaceCredentialsRequest{MerchantId: firstMerchant, RequestId: request, ConnectionId: id, Secret: secret}
	}
	a.call("CreateConnection", "", create("bank", "payabl", bankURL, "canary_right"), answer())
	a.call("CreateConnection", "", create("wrong", "payabl", bankURL, ""), answer())
	a.call("CreateConnection", "", create("elsewhere", "payabl", "https://shop.example/pay", ""), answer())
	a.call("CreateConnection", "GATEWAY_UNREACHABLE", create("away", "payabl", "http://127.0.0.1:1/pay/backoffice", ""), answer())
	a.call("CreateConnection", "UPDATE_BY_REQUIRED", create("keys", "stripe", "", ""), answer())
	a.call("CreateConnection", "GATEWAY_UNKNOWN", create("nowhere", "nowhere", "", ""), answer())
	a.call("CreateConnection", "", create("toy", "sandbox", "", ""), answer())
	a.call("ReplaceCredentials", "CREDENTIALS_REFUSED", replace("r1", "bank", ""), answer())
	a.call("ReplaceCredentials", "", replace("r2", "bank", "canary_right"), answer())
	a.call("ReplaceCredentials", "", replace("r3", "toy", ""), answer())
	a.call("ReplaceCredentials", "NOT_FOUND", replace("r4", "nothing", ""), answer())
}

func (a *aviary) connectByConsent(stripe *stripetest.Server) {
	a.t.Helper()
	for i, approve := range []bool{false, true} {
		asked := &quiet{}
		a.call("RequestConsent", "", &ledgerv1.RequestConsentRequest{MerchantId: firstMerchant, RequestId: fmt.Sprint("c", i), ConnectionId: "shop", Gateway: "stripe"}, asked)
		back, err := stripe.Deny(asked.ConsentUrl)
		if approve {
			back, err = stripe.Approve(asked.ConsentUrl, "acct_1")
		}
		if err != nil {
			a.t.Fatal(err)
		}
		a.get(back, http.StatusOK)
	}
	for _, secret := range []string{a.canaries["--stripe-webhook-secrets"], a.canary("a forger's secret", "whsec_")} {
		body := []byte(`{"id":"evt_1","object":"event","type":"x","account":"acct_1"}`)
		req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.http+"/webhooks/stripe", bytes.NewReader(body))
		if err != nil {
			a.t.Fatal(err)
		}
		req.Header = stripetest.Sign(time.Now(), body, secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			a.t.Fatal(err)
		}
		resp.Body.Close()
		fmt.Fprintln(a, resp.Header)
	}
}

// everyFieldWasPlanted checks that no request has a secret field that nobody tried.
func (a *aviary) everyFieldWasPlanted() {
	a.t.Helper()
	methods := ledgerv1.File_ledger_v1_connection_service_proto.Services().ByName("ConnectionService").Methods()
	fields := 0
	for i := range methods.Len() {
		in := methods.Get(i).Input()
		for j := range in.Fields().Len() {
			if fd := in.Fields().Get(j); secretField(fd) {
				fields++
				place := fmt.Sprintf("%s.%s ", methods.Get(i).Name(), fd.Name())
				var planted bool
				for p := range a.canaries {
					planted = planted || strings.HasPrefix(p, place)
				}
				if !planted {
					a.t.Errorf("no canary was planted in %s", place)
				}
			}
		}
	}
	if fields < 4 {
		a.t.Errorf("%d fields are secret, want at least the secrets of an account", fields)
	}
}

// wantNone looks for canaries, as they are and in base64.
func (a *aviary) wantNone(where string, text []byte) {
	a.t.Helper()
	for place, c := range a.canaries {
		told := bytes.Contains(text, []byte(c))
		for before := range 3 { // bytes that stand before it shift what it is encoded to
			in64 := base64.StdEncoding.EncodeToString(append(make([]byte, before), c...))
			told = told || bytes.Contains(text, []byte(in64[4:len(in64)-4]))
		}
		if told {
			a.t.Errorf("%s tells the secret of %s", where, place)
		}
	}
}

// wantNoneInFiles looks into all that the ledger has written: the log, the work store and the views. The sandbox is no
// part of it: it is the gateway, and has to know what it signs with.
func (a *aviary) wantNoneInFiles() {
	a.t.Helper()
	looked := 0
	err := filepath.WalkDir(a.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "sandbox":
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		text, err := os.ReadFile(path)
		looked++
		a.wantNone(filepath.Base(path), text)
		return err
	})
	if err != nil || looked < 4 {
		a.t.Errorf("looked into %d files (%v), want at least the log, both stores and the master key", looked, err)
	}
}
