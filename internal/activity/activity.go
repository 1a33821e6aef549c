// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package activity asks servers when they were last used, by the endpoints that each kind of server has for it.
package activity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Answer is what a server tells of its use.
type Answer struct {
	// Busy is true while something runs in it.
	Busy bool
	// Connections is how many clients are connected, and terminals open.
	Connections int
	// Last is when it was last used; zero where it does not tell.
	Last time.Time
	// Now is what the server's clock showed; zero where it does not tell.
	Now time.Time
	// Idle is for how long it has not been used, where it tells that instead.
	Idle time.Duration
}

// LastUse is when the server was last used, by an answer that was given now; zero where it does not tell.
func (a Answer) LastUse(now time.Time) time.Time {
	switch {
	case a.Busy || a.Connections > 0:
		return now
	case a.Idle > 0:
		return now.Add(-a.Idle)
	case a.Last.IsZero() || a.Now.IsZero():
		return earlier(a.Last, now)
	}
	return earlier(a.Last.Add(now.Sub(a.Now)), now) // its clock may be wrong, but not in how long ago something was
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

// with is the answer of a server that gives two: what either shows to be in use is in use.
func (a Answer) with(other Answer) Answer {
	a.Busy, a.Connections = a.Busy || other.Busy, a.Connections+other.Connections
	if other.Last.After(a.Last) {
		a.Last = other.Last
	}
	return a
}

// Target is a server to ask.
type Target struct {
	// Server is its kind.
	Server v1alpha1.NotebookServer
	// Base is the address of its root, ending in /.
	Base string
}

// Client asks servers.
type Client struct {
	HTTP *http.Client
	// Timeout is how long all questions to a server may take together.
	Timeout time.Duration
}

// NewClient returns a client for many servers that are asked seldom: connections are kept for one round of questions. They go through an HTTP
// proxy where one is named, by its address.
func NewClient(timeout time.Duration, proxy string) *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: timeout, DisableCompression: true}
	if proxy != "" {
		transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
	}
	return &Client{Timeout: timeout, HTTP: &http.Client{
		Transport: transport,
		// A server that sends its visitors elsewhere wants to know who they are, or is not what it is said to be.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Silent is true of servers that have no endpoint for their use.
func Silent(server v1alpha1.NotebookServer) bool { return protocols[server] == nil }

// Ask asks a server when it was last used. The error is for its user: it changes only when the cause does.
func (c *Client) Ask(ctx context.Context, t Target) (Answer, error) {
	ask := protocols[t.Server]
	if ask == nil {
		return Answer{}, fmt.Errorf("a server of kind %s does not tell when it was last used", t.Server)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var clock time.Time
	answer, err := ask(func(path string) ([]byte, error) {
		body, at, err := c.get(ctx, t.Base, path, most)
		if err == nil {
			clock = at
		}
		return body, err
	})
	answer.Now = clock
	return answer, err
}

// most is how much of a server's answer is read. Many are asked at once, and what they answer is up to their users.
const most = 256 << 10

// get reads a path of a server, and of its answer no more than some bytes. It tells what the server's clock showed, if that says so.
func (c *Client) get(ctx context.Context, base, path string, most int64) ([]byte, time.Time, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("GET %s: %w", path, err)
	}
	request.Header.Set("Cache-Control", "no-cache") // a proxy's memory of an idle server is no evidence
	response, err := c.HTTP.Do(request)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("GET %s: %s", path, wordFor(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, time.Time{}, &statusError{path: path, code: response.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("GET %s: %s", path, wordFor(err))
	}
	at, _ := http.ParseTime(response.Header.Get("Date")) // zero where it does not tell
	return body, at, nil
}

// wordFor says what is wrong with a connection, without ports and addresses that change.
func wordFor(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	}
	return "cannot be reached"
}

// statusError is an answer other than 200.
type statusError struct {
	path string
	code int
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("GET %s: %d %s", e.path, e.code, http.StatusText(e.code))
	if e.code == http.StatusUnauthorized || e.code == http.StatusForbidden || e.code/100 == 3 {
		text += ": the server asks who it is: let it trust its address instead, as --NotebookApp.token='' --NotebookApp.password='' does"
	}
	return text
}

// absent is true when a server does not know a path.
func absent(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == http.StatusNotFound
}
