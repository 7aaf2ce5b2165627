package esdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// maxMessage is the most that a message from a server may hold: a record of the log has at most 16 MiB.
const maxMessage = 17 << 20

// oldest is the first version whose events of a stream say where in the log they stand.
var oldest = version{22, 6}

type version struct{ major, minor int }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// parseVersion reads "24.10.5", and takes no offence at "25.0.0-prerelease".
func parseVersion(text string) (v version, ok bool) {
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	var err1, err2 error
	v.major, err1 = strconv.Atoi(major)
	v.minor, err2 = strconv.Atoi(minor)
	return v, err1 == nil && err2 == nil
}

// dialer makes connections to nodes.
type dialer struct {
	settings Settings
	tls      *tls.Config // nil: plain
}

func newDialer(s Settings) (dialer, error) {
	d := dialer{settings: s}
	if !s.tls {
		return d, nil
	}
	d.tls = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !s.verify}
	if s.caFile != "" {
		pem, err := os.ReadFile(s.caFile)
		if err != nil {
			return d, refuse(err, "tlsCaFile: %v", err)
		}
		d.tls.RootCAs = x509.NewCertPool()
		if !d.tls.RootCAs.AppendCertsFromPEM(pem) {
			return d, refuse(nil, "tlsCaFile: %s holds no certificate", s.caFile)
		}
	}
	if s.certFile != "" {
		cert, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			return d, refuse(err, "userCertFile, userKeyFile: %v", err)
		}
		d.tls.Certificates = []tls.Certificate{cert}
	}
	return d, nil
}

// connection is a gRPC connection that remembers what became of the last attempt to make it.
type connection struct {
	*grpc.ClientConn
	address string

	mu      sync.Mutex
	dialled error
}

func (c *connection) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialled = err
}

func (c *connection) lastDialled() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialled
}

// connect prepares a connection, which is made when it is first used.
func (d dialer) connect(address string) (*connection, error) {
	c := &connection{address: address}
	transport := insecure.NewCredentials()
	if d.tls != nil {
		transport = noting{credentials.NewTLS(d.tls.Clone()), c.note}
	}
	tcp := &net.Dialer{Timeout: d.settings.handshake}
	var err error
	// The address is looked up by whoever dials: of that the reason is kept when it fails.
	c.ClientConn, err = grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			conn, err := tcp.DialContext(ctx, "tcp", to)
			c.note(err)
			return conn, err
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: d.settings.keepAliveInterval, Timeout: d.settings.keepAliveTimeout, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: d.settings.handshake}),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
	)
	return c, err
}

// noting are transport credentials that tell how each handshake went: gRPC keeps only its text.
type noting struct {
	credentials.TransportCredentials
	note func(error)
}

func (n noting) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := n.TransportCredentials.ClientHandshake(ctx, authority, conn)
	n.note(err)
	return secured, info, err
}

func (n noting) Clone() credentials.TransportCredentials {
	return noting{n.TransportCredentials.Clone(), n.note}
}

// leader asks a node for the members of its cluster, and answers which of them leads.
func (d dialer) leader(ctx context.Context, address string) (leader string, members []string, err error) {
	c, err := d.connect(address)
	if err != nil {
		return "", nil, err
	}
	defer c.Close()
	info, err := gossip.NewGossipClient(c).Read(ctx, &shared.Empty{})
	if err != nil {
		return "", nil, d.explain(ctx, c, err)
	}
	for _, m := range info.GetMembers() {
		e := m.GetHttpEndPoint()
		at := net.JoinHostPort(e.GetAddress(), strconv.Itoa(int(e.GetPort())))
		members = append(members, at)
		if m.GetIsAlive() && m.GetState() == gossip.MemberInfo_Leader {
			leader = at
		}
	}
	if leader == "" {
		return "", members, errors.New("its cluster has no leader now")
	}
	return leader, members, nil
}

// greet connects to a node and hears that it is an EventStoreDB that will do.
func (d dialer) greet(ctx context.Context, address string) (*connection, error) {
	c, err := d.connect(address)
	if err != nil {
		return nil, err
	}
	answer, err := serverfeatures.NewServerFeaturesClient(c).GetSupportedMethods(ctx, &shared.Empty{})
	if err != nil {
		err = d.explain(ctx, c, err)
	} else if v, ok := parseVersion(answer.GetEventStoreServerVersion()); !ok {
		err = fmt.Errorf("it says that its version is %q", answer.GetEventStoreServerVersion())
	} else if v.major < oldest.major || v.major == oldest.major && v.minor < oldest.minor {
		err = refuse(nil, "it is version %s; the ledger needs %s or a later one", answer.GetEventStoreServerVersion(), oldest)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// explain says why a first call failed.
func (d dialer) explain(ctx context.Context, c *connection, err error) error {
	dialled := c.lastDialled()
	if d.tls == nil && dialled == nil && status.Code(err) == codes.Unavailable && speaksTLS(ctx, c.address) {
		return refuse(err, "it speaks TLS; leave out tls=false")
	}
	return explain(err, dialled)
}

// speaksTLS tries a handshake, without a look at the certificate: nothing is said to the node after it.
func speaksTLS(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	probe := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a question, not a connection
	conn, err := probe.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// basic sends a user's name and password with each call.
type basic string

func newBasic(user, password string) basic {
	return basic("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b basic) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (basic) RequireTransportSecurity() bool { return true }
