// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"net/http"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Request is one request as the API server sees it.
type Request struct {
	// Verb is get, list, create, update, patch, delete or deletecollection.
	Verb string
	// Resource is the resource with its subresource, such as pods or pods/status; the path for what is no resource.
	Resource string
	// Namespace and Name are of the object, where the request names one.
	Namespace, Name string
}

func (r Request) String() string { return r.Verb + " " + r.Resource }

// Counter records requests, but for leases and watches: those an idle manager makes too.
type Counter struct {
	mu       sync.Mutex
	requests []Request
}

// Wrap returns a round tripper that records what goes through it.
func (c *Counter) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		c.record(r)
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var factory = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

func (c *Counter) record(r *http.Request) {
	info, err := factory.NewRequestInfo(r)
	if err != nil {
		// What cannot be understood must not pass for silence.
		info = &request.RequestInfo{Verb: r.Method, Path: r.URL.Path}
	}
	if info.Resource == "leases" || info.Verb == "watch" {
		return
	}
	resource := info.Resource
	if info.Subresource != "" {
		resource += "/" + info.Subresource
	}
	if resource == "" {
		resource = info.Path
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, Request{Verb: info.Verb, Resource: resource, Namespace: info.Namespace, Name: info.Name})
}

// Reset forgets what was recorded.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = nil
}

// Requests returns what was recorded since the last Reset, in order.
func (c *Counter) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Total counts requests by verb and resource, such as "create pods".
func (c *Counter) Total() map[string]int {
	total := map[string]int{}
	for _, r := range c.Requests() {
		total[r.String()]++
	}
	return total
}
