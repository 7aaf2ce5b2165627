package esdbtest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The groups that the server itself knows.
const (
	Admins = "$admins" // may do everything
	Ops    = "$ops"    // may operate the server, and read no more than others
)

// A User of a secure server.
type User struct {
	Password string
	Groups   []string
}

// DefaultUsers are those of a new server.
func DefaultUsers() map[string]User {
	return map[string]User{
		"admin": {Password: "changeit", Groups: []string{Admins}},
		"ops":   {Password: "changeit", Groups: []string{Ops}},
	}
}

// revocations are the users whose rights were taken away.
type revocations struct {
	mu    sync.Mutex
	users map[string]bool
}

func (r *revocations) set(user string, revoked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == nil {
		r.users = map[string]bool{}
	}
	r.users[user] = revoked
}

func (r *revocations) has(user string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.users[user]
}

// Revoke takes all rights from a user: later calls are denied, and subscriptions that run end, as after a change of
// the access list they were checked against.
func (s *Server) Revoke(user string) {
	s.revoked.set(user, true)
	s.running.end(Denied, func(c *call) bool { return c.user == user })
}

// Grant undoes Revoke.
func (s *Server) Grant(user string) { s.revoked.set(user, false) }

func errUnauthenticated() error { return status.Error(codes.Unauthenticated, "Unauthenticated") }

// authenticate is who calls; nobody, where a call has no credentials or the server asks for none.
func (s *Server) authenticate(ctx context.Context) (string, error) {
	headers := grpcmetadata.ValueFromIncomingContext(ctx, "authorization")
	if s.cfg.TLS == nil || len(headers) == 0 {
		return "", nil
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return "", errUnauthenticated()
	}
	name, password, _ := strings.Cut(string(plain), ":")
	if u, ok := s.cfg.Users[name]; !ok || u.Password != password {
		return "", errUnauthenticated()
	}
	return name, nil
}

func (s *Server) canRead(ctx context.Context, stream string) error {
	return s.allow(ctx, stream, "$r", "$mr")
}
func (s *Server) canWrite(ctx context.Context, stream string) error {
	return s.allow(ctx, stream, "$w", "$mw")
}

// allow refuses who may not do to a stream what takes a right, or to its metadata what takes another: administrators
// may do everything, nobody nothing, and others what the stream's access list says. Without one, that is everything on
// the streams of applications and nothing on those of the system, of which $all is one.
func (s *Server) allow(ctx context.Context, stream, right, metaRight string) error {
	if s.cfg.TLS == nil {
		return nil
	}
	name, err := s.authenticate(ctx)
	if err != nil {
		return err
	}
	if name == "" || s.revoked.has(name) {
		return errAccessDenied()
	}
	roles := append([]string{name, "$all"}, s.cfg.Users[name].Groups...)
	if slices.Contains(roles, Admins) {
		return nil
	}
	if of, ok := strings.CutPrefix(stream, "$$"); ok {
		stream, right = of, metaRight
	}
	allowed := !strings.HasPrefix(stream, "$")
	if given, listed := s.cfg.Store.accessList(stream)[right]; listed {
		allowed = slices.ContainsFunc(given, func(role string) bool { return slices.Contains(roles, role) })
	}
	if !allowed {
		return errAccessDenied()
	}
	return nil
}

// accessList is what the metadata of a stream says of rights: who has which.
func (s *Store) accessList(stream string) map[string]roles {
	s.mu.Lock()
	defer s.mu.Unlock()
	places := s.shownOf(metaOf(stream))
	if len(places) == 0 {
		return nil
	}
	var meta struct {
		ACL map[string]roles `json:"$acl"`
	}
	if err := json.Unmarshal(s.log[places[len(places)-1]].Data, &meta); err != nil {
		return nil // what is no metadata says nothing
	}
	return meta.ACL
}

// roles are one name or a list of them.
type roles []string

// UnmarshalJSON implements [json.Unmarshaler].
func (r *roles) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*r = roles{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(r))
}
