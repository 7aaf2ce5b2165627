package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the stories' expected output anew")

// TestMain lets the stories run the program itself: beside them the test binary also is the command ledger, and the
// merchant whom the crash harness has told of everything.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ledger": main, receiverCommand: receive})
}

// TestStories plays every story in testdata: a whole life each, on a ledger of its own that runs as a process of its
// own. The commands that a story can use are those of testscript (go doc github.com/rogpeppe/go-internal/testscript),
// the program ("exec ledger clock advance 14d"), and:
//
//	start [FLAG…]         run "ledger serve" with a manual clock on $LEDGER_DATA_DIR, which is the story's own until it
//	                      sets another, with the log at $LEDGER_LOG, embedded if that is empty; again after its end, too
//	shutdown, kill9       end it with SIGTERM, which it has to obey without having logged an error; or with SIGKILL
//	exits CODE COMMAND…   run a command that has to end with this exit code
//	mode MODE FILE        a file has to have this mode, like 600
//	post PATH [FILE]      send a command over REST, with ${NAME} of the environment filled in, under a new
//	                      Idempotency-Key, wait for the gateway, and print the answer; with ! it has to be refused. -key gives the key, -now does not wait
//	get PATH              print what REST answers
//	state SUB             print how a subscription stands
//	orders SUB            print its orders
//	events SUB            print its history
//	receiver [STATUS…]    the merchant begins to listen; he answers the first notifications with these, then with 200
//	ipns                  print the notifications that he has taken, in the order in which they came
//	ipn ORDER             print all variables of an order's notification
//	buyer approve|decline|cancel SUB   what the buyer does on the gateway's page
//	buyer back SUB        he opens the page that the gateway sent him to then; print where that sends him, or what it says
//	buyer revoke SUB      the buyer ends the agreement at the gateway
//	gateway charges|returns SUB MINOR   what the gateway does by itself, in minor units of USD
//	gateway bills SUB MINOR     the same on an agreement that only the gateway knows
//	gateway disputes SUB STAGE  the buyer's bank disputes the last payment
//	gateway sells MINOR   it charges a buyer of another shop of the merchant's
//	gateway loses TIMES   it sends so many of the next webhooks to nobody
//	gateway away|back     it answers nobody for a while
//	payabl WHAT…          what happens at payabl., see script_payabl_test.go
//	charged SUB           wait until the gateway has charged, though the ledger may not know it yet
//	book                  print the gateway's own book: what really happened to the money
//	stripe start          run a Stripe, whose time is the ledger's; the settings of the platform are in the environment of the
//	                      ledgers that start afterwards
//	stripe account ID [name=N] [email=E] [publishable=K] [key=K] [controlled]   a merchant has an account there
//	stripe approve [-later] ACCOUNT     he agrees at the page whose address was printed last, and comes back to the ledger,
//	                      unless that is for later; print where that sends him, or what he reads
//	stripe deny           he does not agree
//	stripe return [NAME=VALUE]  he comes back now, or once more, with a parameter of the address changed
//	stripe deliver [twice|none|late|forged|old]   the events since the last time go to the platform's endpoint: once each,
//	                      twice, or to nobody; those that went to nobody, the newest first; or signed by somebody else, or
//	                      six minutes ago, and then they are still to come. Print what was answered
//	stripe script SUB METHOD    the card of a subscription does from now on what Stripe's test method of that name does
//	stripe dispute SUB inquire|open|win|lose   the buyer's bank disputes the last payment, and decides
//	stripe refund SUB MINOR     the merchant returns money in his Dashboard
//	stripe detach SUB     the stored method is gone
//	stripe disconnect ACCOUNT   the merchant takes his consent back
//	stripe silent TIMES charged|uncharged|lookups   so many charges, carried out or not, or look-ups of them get no answer
//	stripe authenticate SUB right|wrong     the buyer proves himself to his bank, or does not
//	hidden PATH…          no file there, nor a page of the admin listener, holds a secret that the ledger was given; with ! one does
//	stripe book           print what truly happened to the money there
//	sql NAME              print what docs/sql/NAME.sql answers, read beside the ledger
//	tamper DB STATEMENT   change rows of a database behind the ledger's back
//	esdb start [MANNER…]  run an EventStoreDB, or rather the double of one, as $ESDB, at $ESDB_HOST; plain and good, or
//	                      tls, expired, misnamed (with $ESDB_CA, the file of its authority), version=V
//	esdb stop|restart     it crashes; it is there again
//	esdb hold STREAM      one more append to a stream is written; those behind it get no answer until the restart
//	esdb backup|restore   keep what its log holds; put that in the place of its log
//	esdb metadata STREAM JSON   what an administrator says of a stream
//	begin [FLAG…]         like start, but the ledger does not serve yet
//	ready STATUS TEXT     wait until it says with this status and text whether it is ready, and print what it says
//
// LEDGER_TEST_LOG=double gives each story an EventStoreDB of its own, or rather the double of one, and its log is there
// from the beginning; or it is the URL of an empty EventStoreDB, for one story (-run). The condition [elsewhere] holds
// then.
//
// What they print leaves out what is empty. Orders have the number of their subscription, 1 for the first, times
// 10,000 in their ids.
func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			w := &world{data: filepath.Join(env.WorkDir, "data"), logged: filepath.Join(env.WorkDir, "serve.log")}
			env.Values[worldKey{}] = w
			env.Setenv("LEDGER_DATA_DIR", w.data) // of "exec ledger verify"
			env.Setenv("GORACE", gorace)
			env.Defer(w.close)
			log, err := w.firstLog()
			env.Setenv("LEDGER_LOG", log)
			return err
		},
		Condition: func(name string) (bool, error) {
			if name != "elsewhere" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return os.Getenv("LEDGER_TEST_LOG") != "", nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":    inWorld((*world).start),
			"shutdown": inWorld((*world).shutdown),
			"kill9":    inWorld((*world).kill9),
			"exits":    exits,
			"mode":     mode,
			"post":     post,
			"get":      get,
			"state":    inWorld((*world).state),
			"orders":   inWorld((*world).orders),
			"events":   inWorld((*world).events),
			"receiver": inWorld((*world).receive),
			"ipns":     inWorld((*world).ipns),
			"ipn":      inWorld((*world).ipn),
			"buyer":    inWorld((*world).buyer),
			"gateway":  inWorld((*world).gateway),
			"payabl":   inWorld((*world).atPayabl),
			"charged":  inWorld((*world).charged),
			"book":     inWorld((*world).book),
			"stripe":   inWorld((*world).stripe),
			"hidden":   hidden,
			"sql":      inWorld((*world).question),
			"tamper":   inWorld((*world).tamper),
			"esdb":     inWorld((*world).database),
			"begin":    inWorld((*world).begin),
			"ready":    inWorld((*world).ready),
		},
	})
}

// TestEveryStoryIsVerified keeps stories from ending before all that they left behind was checked.
func TestEveryStoryIsVerified(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no stories (%v)", err)
	}
	for _, file := range files {
		story, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		commands, _, _ := strings.Cut(string(story), "\n-- ")
		if want := "\nshutdown\nexec ledger verify"; !strings.HasSuffix(strings.TrimSpace(commands), want) {
			t.Errorf("%s does not end with %q", file, want)
		}
	}
}

// gorace keeps a program that is watched by the race detector from sleeping a second before each exit.
const gorace = "atexit_sleep_ms=0"

type worldKey struct{}

// inWorld makes a command of a method of the story's world. None of them can be negated.
func inWorld(do func(*world, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("! makes no sense here")
		}
		do(ts.Value(worldKey{}).(*world), ts, args)
	}
}

// usage ends the story unless the command has n arguments.
func usage(ts *testscript.TestScript, args []string, text string) {
	if len(args) != len(strings.Fields(text))-1 {
		ts.Fatalf("usage: %s", text)
	}
}
