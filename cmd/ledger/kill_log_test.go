package main

import (
	"math/rand/v2"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// What --log may be in a run of the harness.
const (
	logSQLite = "sqlite"
	logESDB   = "esdb"
)

// logServer is a log in a process that no kill ends: this one. What was sent to it may be written when its sender is gone.
type logServer struct {
	*siege
	*esdbtest.Server
	random *rand.Rand // of what happens to it
}

// newLogServer is nil where the log is embedded.
func (s *siege) newLogServer(number uint64) *logServer {
	s.t.Helper()
	if s.log != logESDB {
		return nil
	}
	return &logServer{siege: s, Server: esdbtest.Start(s.t), random: rand.New(rand.NewPCG(s.seed, number<<8|0xff))}
}

// url is what --log is; empty where the log is embedded.
func (l *logServer) url() string {
	if l == nil {
		return ""
	}
	return l.URL()
}

// suffer lets one thing after the other happen to the log until the drivers stop. Then all is well with it.
func (l *logServer) suffer() {
	if l == nil {
		return
	}
	l.driving.Go(func() {
		for l.pause(20, 400) {
			if err := l.mishap(); err != nil {
				l.t.Errorf("the log does not go on: %v", err)
				return
			}
			l.add(mishaps, 1)
		}
		l.ResetConnections() // and no call is left that nobody answers
	})
}

// pause waits for a while of from to to milliseconds, and reports whether the drivers go on.
func (l *logServer) pause(from, to int) bool {
	select {
	case <-time.After(time.Duration(from+l.random.IntN(to-from)) * time.Millisecond):
		return true
	case <-l.stop:
	case <-l.ctx.Done():
	}
	return false
}

// away waits for as long as a server is away: in a thorough run now and then for longer than anybody waits for it.
func (l *logServer) away() {
	if l.thorough && l.random.IntN(16) == 0 {
		l.pause(10_000, 15_000)
		return
	}
	l.pause(0, 800)
}

// mishap is one thing that happens to a server, or to some of the calls that come to it.
func (l *logServer) mishap() error {
	switch l.random.IntN(16) {
	case 0, 1:
		return l.Restart()
	case 2:
		l.Stop()
		l.away()
		return l.Restart()
	case 3, 4:
		l.ResetConnections()
	case 5, 6:
		l.Stall()
		l.away()
		l.Unstall()
	case 7, 8:
		cut, err := l.GoAway()
		if err != nil {
			return err
		}
		l.pause(0, 200)
		cut()
	case 9:
		l.End("Subscribe", esdbtest.NotReady)
	default:
		wrong := wrongCalls[l.random.IntN(len(wrongCalls))]
		wrong.Times = 1 + l.random.IntN(3)
		remove := l.Inject(wrong)
		l.pause(0, 200)
		remove()
	}
	return nil
}

// wrongCalls are what an append or a read may come to. Above all the ledger is not told what became of
// what it wrote.
var wrongCalls = []esdbtest.Fault{
	{Method: "Append", Do: esdbtest.AnswerLost},
	{Method: "Append", Do: esdbtest.AnswerLost},
	{Method: "Append", Do: esdbtest.AnswerCut},
	{Method: "Append", Do: esdbtest.AbortAfter},
	{Method: "Append", Do: esdbtest.AbortAfter},
	{Method: "Append", Do: esdbtest.AbortBefore},
	{Method: "Append", Do: esdbtest.NoAnswerAfter},
	{Method: "Append", Do: esdbtest.NoAnswer},
	{Method: "Append", Do: esdbtest.TooBusy},
	{Method: "Read", Do: esdbtest.DropAfter(1)},
	{Do: esdbtest.NotReady},
}
