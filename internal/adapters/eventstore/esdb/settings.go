package esdb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings are what a connection string says. The string is EventStoreDB's:
//
//	esdb://[user:password@]host[:2113][,host2[:port] …][?key=value&…]
//	esdb+discover://[user:password@]name[:2113][?key=value&…]
//
// Of several hosts, and with esdb+discover, the members of the cluster are asked for, and the leader is connected to.
// The keys, in any case: tls, tlsVerifyCert (true or false), tlsCaFile, userCertFile, userKeyFile, gossipTimeout
// (seconds), keepAliveInterval, keepAliveTimeout, defaultDeadline (milliseconds), nodePreference (only leader: the
// ledger has to read what it has written). maxDiscoverAttempts, discoveryInterval and connectionName are taken and have
// no meaning: the log looks for the cluster for as long as it runs, at a pace of its own.
//
// Keys and defaults: https://docs.kurrent.io/clients/grpc/getting-started.html#connection-string
type Settings struct {
	hosts    []string // host:port
	discover bool     // ask the hosts for the cluster's members

	user, password    string
	tls, verify       bool
	caFile            string
	certFile, keyFile string

	handshake         time.Duration // for finding a node, and hearing that it is one
	deadline          time.Duration // for one try of a call
	keepAliveInterval time.Duration // between pings on a quiet connection
	keepAliveTimeout  time.Duration // for the answer to a ping
}

const (
	defaultPort = "2113"
	// shortestPing is the least that gRPC takes for a keep-alive interval; less is raised to it in silence.
	shortestPing = 10 * time.Second
)

// Parse reads a connection string. Its errors say what is wrong in one sentence, and never show a password, nor what may
// be a part of one.
func Parse(text string) (Settings, error) {
	s, err := parse(text)
	if err == nil {
		return s, nil
	}
	_, rest, _ := strings.Cut(text, "://")
	if end := strings.IndexAny(rest, "/?"); end >= 0 && !strings.Contains(rest[:end], "@") && strings.Contains(rest[end:], "@") {
		err = errors.New("in a user name and a password, write %2F for / and %3F for ?")
	}
	return Settings{}, err
}

func parse(text string) (Settings, error) {
	s := Settings{
		tls: true, verify: true,
		handshake: 5 * time.Second, deadline: 5 * time.Second,
		keepAliveInterval: shortestPing, keepAliveTimeout: 10 * time.Second,
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "esdb" && scheme != "esdb+discover" {
		return Settings{}, errors.New("give esdb://host:2113, or esdb+discover://name:2113 for a cluster")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if path != "" {
		return Settings{}, errors.New("nothing can stand between the hosts and the question mark")
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := s.readUser(authority[:at]); err != nil {
			return Settings{}, err
		}
		authority = authority[at+1:]
	}
	if err := s.readHosts(authority); err != nil {
		return Settings{}, err
	}
	s.discover = scheme == "esdb+discover" || len(s.hosts) > 1
	if err := s.readQuery(query); err != nil {
		return Settings{}, err
	}
	return s, s.check()
}

func (s *Settings) readUser(text string) error {
	user, password, ok := strings.Cut(text, ":")
	var err1, err2 error
	s.user, err1 = url.PathUnescape(user)
	s.password, err2 = url.PathUnescape(password)
	switch {
	case err1 != nil || err2 != nil:
		return errors.New("the user name or the password has a % that begins no escape; write %25 for it")
	case !ok || s.user == "" || s.password == "":
		return errors.New("write credentials as user:password@, neither of them empty")
	}
	return nil
}

// hostName is a name as it stands in the DNS, or in a network of containers.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)

func (s *Settings) readHosts(authority string) error {
	for i, text := range strings.Split(authority, ",") {
		host, port, err := net.SplitHostPort(text)
		if err != nil { // most likely there is no port
			host, port = strings.Trim(text, "[]"), defaultPort
			if strings.Count(host, ":") == 1 || strings.Contains(text, ":") && !strings.HasPrefix(text, "[") {
				return fmt.Errorf("host %d is no host:port; an IPv6 address stands in brackets", i+1)
			}
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("the port of host %d is no number from 1 to 65535", i+1)
		}
		if net.ParseIP(host) == nil && !hostName.MatchString(host) {
			return fmt.Errorf("host %d is no name or address", i+1)
		}
		s.hosts = append(s.hosts, net.JoinHostPort(host, port))
	}
	return nil
}

// keys are what a query may hold, and what each does.
var keys = map[string]func(*Settings, string) error{
	"tls":           func(s *Settings, v string) error { return readBool(v, &s.tls) },
	"tlsverifycert": func(s *Settings, v string) error { return readBool(v, &s.verify) },
	"tlscafile":     func(s *Settings, v string) error { s.caFile = v; return nil },
	"usercertfile":  func(s *Settings, v string) error { s.certFile = v; return nil },
	"userkeyfile":   func(s *Settings, v string) error { s.keyFile = v; return nil },
	"gossiptimeout": func(s *Settings, v string) error {
		return readDuration(v, time.Second, time.Second, time.Minute, &s.handshake)
	},
	"keepaliveinterval": func(s *Settings, v string) error {
		return readDuration(v, time.Millisecond, shortestPing, time.Hour, &s.keepAliveInterval)
	},
	"keepalivetimeout": func(s *Settings, v string) error {
		return readDuration(v, time.Millisecond, time.Second, time.Hour, &s.keepAliveTimeout)
	},
	"defaultdeadline": func(s *Settings, v string) error {
		return readDuration(v, time.Millisecond, time.Second, time.Hour, &s.deadline)
	},
	"nodepreference": func(_ *Settings, v string) error {
		if !strings.EqualFold(v, "leader") {
			return errors.New("it can only be leader: other nodes may be behind, and the ledger has to read what it has written")
		}
		return nil
	},
	"maxdiscoverattempts": func(*Settings, string) error { return nil },
	"discoveryinterval":   func(*Settings, string) error { return nil },
	"connectionname":      func(*Settings, string) error { return nil },
}

func (s *Settings) readQuery(query string) error {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		name := strings.ToLower(key)
		read, ok := keys[name]
		if !ok {
			return fmt.Errorf("there is no key %q", key)
		}
		if seen[name] {
			return fmt.Errorf("%s stands there twice", key)
		}
		seen[name] = true
		value, err := url.QueryUnescape(value)
		if err != nil {
			return fmt.Errorf("%s: its value has a %% that begins no escape", key)
		}
		if err := read(s, value); err != nil {
			return fmt.Errorf("%s=%s: %w", key, value, err)
		}
	}
	return nil
}

// check refuses what does not go together.
func (s Settings) check() error {
	switch {
	case !s.tls && s.user != "":
		return errors.New("credentials are only sent over TLS; leave out tls=false, or the credentials")
	case !s.tls && (s.caFile != "" || s.certFile != "" || s.keyFile != ""):
		return errors.New("certificates are of no use with tls=false")
	case (s.certFile == "") != (s.keyFile == ""):
		return errors.New("userCertFile and userKeyFile belong together")
	}
	return nil
}

func readBool(text string, to *bool) error {
	switch strings.ToLower(text) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return errors.New("it is true or false")
	}
	return nil
}

// readDuration reads a whole number of units.
func readDuration(text string, unit, least, most time.Duration, to *time.Duration) error {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || time.Duration(n)*unit < least || time.Duration(n)*unit > most {
		name := map[time.Duration]string{time.Second: "seconds", time.Millisecond: "milliseconds"}[unit]
		return fmt.Errorf("give %s, %d to %d", name, least/unit, most/unit)
	}
	*to = time.Duration(n) * unit
	return nil
}

// Secret reports whether the connection string holds a password.
func (s Settings) Secret() bool { return s.password != "" }

// String writes the connection string as it may be shown: without its password.
func (s Settings) String() string {
	var b strings.Builder
	b.WriteString("esdb")
	if s.discover && len(s.hosts) == 1 {
		b.WriteString("+discover")
	}
	b.WriteString("://")
	if s.user != "" {
		b.WriteString(url.PathEscape(s.user) + ":(secret)@")
	}
	b.WriteString(strings.Join(s.hosts, ","))
	if !s.tls {
		b.WriteString("?tls=false")
	}
	return b.String()
}

// shuffled are the hosts in another order each time, so that many ledgers do not all ask the same one first.
func (s Settings) shuffled() []string {
	hosts := slices.Clone(s.hosts)
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	return hosts
}
