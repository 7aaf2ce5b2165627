package stripetest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Own is the account whose key is not a platform's.
const Own = "acct_own"

// codeLifetime is how long a code is good. https://docs.stripe.com/connect/oauth-reference#get-authorize-response
const codeLifetime = 5 * time.Minute

// Account is an account of Stripe's.
type Account struct {
	ID string
	// What its owner calls it, what his customers know it by, and his address; each may be empty.
	Name, Business, Email string
	// PublishableKey is told with the consent, if there is one.
	PublishableKey string
	// Key is a secret key of the account's own, which works without anybody's consent; empty if it has shown nobody one.
	// https://docs.stripe.com/keys
	Key string
	// Controlled says that another platform controls the account.
	Controlled bool
}

type connected struct {
	Account
	granted bool
}

// code is a consent that is not taken yet.
type code struct {
	account *connected
	client  string
	at      time.Time
	used    bool
}

// AddAccount makes an account, or changes it. A new one is not connected.
func (s *Server) AddAccount(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &connected{Account: a}
	if old, ok := s.accounts[a.ID]; ok {
		c.granted = old.granted
	}
	s.accounts[a.ID] = c
}

// Approve is the merchant who was sent to the address of /oauth/authorize, is known there as the owner of an account, and
// gives his consent. He is sent to what is returned.
func (s *Server) Approve(authorize, account string) (redirect string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, back, err := s.asked(authorize)
	if err != nil {
		return "", err
	}
	a, ok := s.accounts[account]
	if !ok {
		return "", fmt.Errorf("no account %s", account)
	}
	id := s.id("ac")
	s.codes[id] = &code{account: a, client: q.Get("client_id"), at: s.c.Now()}
	return with(back, url.Values{"code": {id}, "scope": {q.Get("scope")}, "state": {q.Get("state")}}), nil
}

// Deny is the merchant who does not.
func (s *Server) Deny(authorize string) (redirect string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, back, err := s.asked(authorize)
	if err != nil {
		return "", err
	}
	return with(back, url.Values{
		"error": {"access_denied"}, "error_description": {"The user denied your request"}, "state": {q.Get("state")},
	}), nil
}

// asked reads the address of the page. What is wrong there is told to its visitor: nobody is sent back.
// https://docs.stripe.com/connect/oauth-reference#get-authorize
func (s *Server) asked(authorize string) (q url.Values, back *url.URL, err error) {
	u, err := url.Parse(authorize)
	if err != nil {
		return nil, nil, err
	}
	q = u.Query()
	back, err = url.Parse(q.Get("redirect_uri"))
	client := q.Get("client_id")
	switch {
	case u.Path != "/oauth/authorize":
		err = errors.New("no such page: " + u.Path)
	case q.Get("response_type") != "code":
		err = errors.New("unsupported_response_type")
	case client == "" || client != s.c.ClientID && client != s.c.OtherClientID:
		err = errors.New("no application matches the supplied client identifier")
	case q.Get("scope") != "read_write":
		err = errors.New("invalid_scope")
	case err != nil || back.Host == "":
		err = errors.New("invalid_redirect_uri")
	}
	return q, back, err
}

func with(back *url.URL, more url.Values) string {
	q := back.Query()
	for name, values := range more {
		q[name] = values
	}
	u := *back
	u.RawQuery = q.Encode()
	return u.String()
}

// Disconnect is the merchant who takes his consent back in his Dashboard.
func (s *Server) Disconnect(account string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accounts[account]
	if !ok || !a.granted {
		return fmt.Errorf("%s is not connected", account)
	}
	s.disconnect(a)
	return nil
}

func (s *Server) disconnect(a *connected) {
	a.granted, s.acting = false, a.ID
	s.event(deauthorized, object{"id": s.c.ClientID, "object": "application", "name": "Platform"})
}

// oauthProblem is an error of OAuth, which is written otherwise than one of the API.
func oauthProblem(status int, code, description string) answer {
	a := answerWith(object{"error": code, "error_description": description})
	a.status = status
	return a
}

// noPlatform judges requests of OAuth, which no account is named for.
func (s *Server) noPlatform(r *request, params []string) (answer, bool) {
	if r.Header.Get("Authorization") != "Bearer "+s.c.Key {
		return oauthProblem(http.StatusUnauthorized, "invalid_client", "No such API key."), true
	}
	if name, ok := r.stranger(params); ok || s.acting != "" {
		return oauthProblem(http.StatusBadRequest, "invalid_request", "Received unknown parameter: "+name), true
	}
	return answer{}, false
}

// exchange takes a consent. https://docs.stripe.com/connect/oauth-reference#post-token
func (s *Server) exchange(r *request) answer {
	grant := func(description string) answer {
		return oauthProblem(http.StatusBadRequest, "invalid_grant", description)
	}
	c := s.codes[r.form.Get("code")]
	switch {
	case r.form.Get("client_secret") != s.c.Key:
		return oauthProblem(http.StatusUnauthorized, "invalid_client", "No such API key.")
	case r.form.Get("grant_type") != "authorization_code":
		return oauthProblem(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type.")
	case r.form.Get("code") == "":
		return oauthProblem(http.StatusBadRequest, "invalid_request", "No authorization code provided.")
	case c == nil:
		return grant("Authorization code does not exist: " + r.form.Get("code"))
	case c.client != s.c.ClientID && s.c.Live:
		return grant("Passed in livemode API key but authorization code only supports returning test keys")
	case c.client != s.c.ClientID:
		return grant("Passed in testmode API key but authorization code only supports returning livemode keys")
	case c.used:
		if c.account.granted {
			s.disconnect(c.account)
		}
		return grant("This authorization code has already been used. All tokens issued with this code have been revoked.")
	case s.c.Now().Sub(c.at) > codeLifetime:
		return grant("Authorization code expired")
	case c.account.Controlled:
		return oauthProblem(http.StatusBadRequest, "invalid_request", "This account is connected to another platform. Please create a new account.")
	}
	if r.step.uncharged() {
		return answer{}.spoiled(r.step)
	}
	c.used, c.account.granted = true, true
	o := object{
		"stripe_user_id": c.account.ID, "livemode": s.c.Live, "scope": "read_write", "token_type": "bearer",
		"access_token": "sk_of_" + c.account.ID, "refresh_token": "rt_of_" + c.account.ID,
	}
	if c.account.PublishableKey != "" {
		o["stripe_publishable_key"] = c.account.PublishableKey
	}
	return answerWith(o)
}

// deauthorize gives a consent back. https://docs.stripe.com/connect/oauth-reference#post-deauthorize
func (s *Server) deauthorize(r *request) answer {
	id := r.form.Get("stripe_user_id")
	a := s.accounts[id]
	switch {
	case r.form.Get("client_id") == "" || id == "":
		return oauthProblem(http.StatusBadRequest, "invalid_request", "No client_id or stripe_user_id provided.")
	case r.form.Get("client_id") != s.c.ClientID:
		return oauthProblem(http.StatusUnauthorized, "invalid_client", "No such application: '"+r.form.Get("client_id")+"'")
	case a == nil || !a.granted:
		return oauthProblem(http.StatusUnauthorized, "invalid_client", "This application is not connected to stripe account "+id+", or that account does not exist.")
	}
	if !r.step.uncharged() {
		s.disconnect(a)
	}
	return answerWith(object{"stripe_user_id": id})
}

// owner is the account that a request's key belongs to; nil if it is the platform's, or nobody's.
func (s *Server) owner(r *request) *connected {
	for _, a := range s.accounts {
		if a.Key != "" && r.Header.Get("Authorization") == "Bearer "+a.Key {
			return a
		}
	}
	return nil
}

// granted reports whether the key may be used for what a request is about: an account that has given its consent, or
// the key's own. https://docs.stripe.com/connect/authentication
func (s *Server) granted(r *request) bool {
	account := s.acting
	if r.owner != nil {
		return r.PathValue("account") == "" && account == r.owner.ID
	}
	switch id := r.PathValue("account"); {
	case id != "" && account != "":
		return false // no account knows of others
	case id != "":
		account = id
	case account == "":
		return s.c.Account == "" && s.c.ClientID == ""
	}
	a, ok := s.accounts[account]
	return ok && a.granted
}

func noAccess() answer {
	return problem(http.StatusForbidden, apiError{
		Type: "invalid_request_error", Code: "account_invalid",
		Message: "The provided key does not have access to that account (or it does not exist). Application access may have been revoked.",
	})
}

func (s *Server) getAccount(r *request) answer {
	return answerWith(s.accounts[r.PathValue("account")].object())
}

func (s *Server) getOwnAccount(*request) answer {
	if a, ok := s.accounts[s.acting]; ok {
		return answerWith(a.object())
	}
	if a, ok := s.accounts[Own]; ok {
		return answerWith(a.object())
	}
	return answerWith((&connected{Account: Account{ID: Own}}).object())
}

// object is https://docs.stripe.com/api/accounts/object.
func (a *connected) object() object {
	return object{
		"id": a.ID, "object": "account", "type": "standard", "email": null(a.Email),
		"business_profile": object{"name": null(a.Business)},
		"settings":         object{"dashboard": object{"display_name": null(a.Name), "timezone": "Etc/UTC"}},
	}
}
