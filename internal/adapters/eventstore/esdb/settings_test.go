package esdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	standard := Settings{
		tls: true, verify: true, handshake: 5 * time.Second, deadline: 5 * time.Second,
		keepAliveInterval: 10 * time.Second, keepAliveTimeout: 10 * time.Second,
	}
	with := func(change func(*Settings)) Settings {
		s := standard
		change(&s)
		return s
	}
	for text, want := range map[string]Settings{
		"esdb://localhost":             with(func(s *Settings) { s.hosts = []string{"localhost:2113"} }),
		"esdb://localhost/":            with(func(s *Settings) { s.hosts = []string{"localhost:2113"} }),
		"esdb://h:1?tls=false":         with(func(s *Settings) { s.hosts, s.tls = []string{"h:1"}, false }),
		"esdb://h?TLS=False":           with(func(s *Settings) { s.hosts, s.tls = []string{"h:2113"}, false }),
		"esdb://[::1]:2114":            with(func(s *Settings) { s.hosts = []string{"[::1]:2114"} }),
		"esdb://[::1]":                 with(func(s *Settings) { s.hosts = []string{"[::1]:2113"} }),
		"esdb+discover://db.internal":  with(func(s *Settings) { s.hosts, s.discover = []string{"db.internal:2113"}, true }),
		"esdb://a,b:7,c":               with(func(s *Settings) { s.hosts, s.discover = []string{"a:2113", "b:7", "c:2113"}, true }),
		"esdb://admin:ch%40nge:it@h":   with(func(s *Settings) { s.hosts, s.user, s.password = []string{"h:2113"}, "admin", "ch@nge:it" }),
		"esdb://admin:p@ss@h":          with(func(s *Settings) { s.hosts, s.user, s.password = []string{"h:2113"}, "admin", "p@ss" }),
		"esdb://h?tlsCaFile=%2Fca.crt": with(func(s *Settings) { s.hosts, s.caFile = []string{"h:2113"}, "/ca.crt" }),
		"esdb://h?userCertFile=c&userKeyFile=k&tlsVerifyCert=false": with(func(s *Settings) {
			s.hosts, s.certFile, s.keyFile, s.verify = []string{"h:2113"}, "c", "k", false
		}),
		"esdb://h?gossipTimeout=3&keepAliveInterval=20000&keepAliveTimeout=5000&defaultDeadline=2500": with(func(s *Settings) {
			s.hosts, s.handshake, s.keepAliveInterval, s.keepAliveTimeout = []string{"h:2113"}, 3*time.Second, 20*time.Second, 5*time.Second
			s.deadline = 2500 * time.Millisecond
		}),
		"esdb://h?nodePreference=Leader&maxDiscoverAttempts=10&discoveryInterval=100&connectionName=x": with(func(s *Settings) { s.hosts = []string{"h:2113"} }),
	} {
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Settings{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                           "give esdb://host:2113",
		"localhost:2113":                             "give esdb://host:2113",
		"http://localhost:2113":                      "give esdb://host:2113",
		"esdb://":                                    " is no name or address",
		"esdb://a,,b":                                " is no name or address",
		"esdb://h:0":                                 "the port of host 1 is no number from 1 to 65535",
		"esdb://h:65536":                             "the port of host 1 is",
		"esdb://a,h:port":                            "the port of host 2 is",
		"esdb://u:s3cret":                            "the port of host 1 is",
		"esdb://u:s3cret:u":                          "host 1 is no host:port",
		"esdb://u:s3cret?u@h":                        "write %2F for / and %3F for ?",
		"esdb://u:s3cret/u@h?tls=true":               "write %2F for / and %3F for ?",
		"esdb://u:1/s3cret@h":                        "write %2F for / and %3F for ?",
		"esdb://::1":                                 "host 1 is no host:port",
		"esdb://a b":                                 "host 1 is no name or address",
		"esdb://h/db":                                "nothing can stand between",
		"esdb://s3cret-u@h":                          "user:password@",
		"esdb://:s3cret@h":                           "neither of them empty",
		"esdb://u:@h":                                "neither of them empty",
		"esdb://u:s3cret%zz@h":                       "%25",
		"esdb://u:s3cret@h?tls=false":                "only sent over TLS",
		"esdb://h?tls=maybe":                         "tls=maybe: it is true or false",
		"esdb://h?tls=":                              "it is true or false",
		"esdb://h?tls=true&TLS=false":                "stands there twice",
		"esdb://u:s3cret@h?tlsCa=x":                  `there is no key "tlsCa"`,
		"esdb://h?tls=false&tlsCaFile=x":             "of no use with tls=false",
		"esdb://h?userCertFile=x":                    "belong together",
		"esdb://h?nodePreference=follower":           "it can only be leader",
		"esdb://h?gossipTimeout=5000":                "give seconds, 1 to 60",
		"esdb://h?keepAliveInterval=-1":              "give milliseconds, 10000 to",
		"esdb://h?defaultDeadline=10s":               "give milliseconds",
		"esdb://h?defaultDeadline=99999999999999999": "give milliseconds",
		"esdb://h?tlsCaFile=%zz":                     "begins no escape",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows credentials: %v", text, err)
		}
	}
}

func TestSettingsShowNoPassword(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"esdb://admin:s3cret@h":           "esdb://admin:(secret)@h:2113",
		"esdb://h?tls=false":              "esdb://h:2113?tls=false",
		"esdb+discover://admin:s3cret@h":  "esdb+discover://admin:(secret)@h:2113",
		"esdb://a,b:1?tlsCaFile=/x&TLS=1": "",
	} {
		s, err := Parse(text)
		if want == "" {
			if err == nil {
				t.Errorf("%s was taken", text)
			}
			continue
		}
		if err != nil || s.String() != want || s.Secret() != strings.Contains(text, "s3cret") {
			t.Errorf("%s: got %q, secret %v, %v; want %q", text, s, s.Secret(), err, want)
		}
	}
}

func TestOpenRefusesFiles(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.crt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"tlsCaFile=/does/not/exist":                   "tlsCaFile: open /does/not/exist",
		"tlsCaFile=" + empty:                          "holds no certificate",
		"userCertFile=/none.crt&userKeyFile=" + empty: "userCertFile, userKeyFile: open /none.crt",
	} {
		s, err := Parse("esdb://h?" + query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Settings: s}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", query, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"esdb://admin:changeit@a:2113,b,[::1]?tls=true&tlsCaFile=/ca", "esdb+discover://x", "esdb://u:p%40@h?gossipTimeout=5", "esdb://%zz@h",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if s.Secret() { // what is shown has another password, and is a connection string all the same
			s.password = again.password
		}
		if err != nil || !cmp.Equal(s.hosts, again.hosts) || again.user != s.user || again.tls != s.tls {
			t.Errorf("%q is shown as %q, which reads as %+v, %v", text, s, again, err)
		}
	})
}
