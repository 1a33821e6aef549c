// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"maps"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// request is one of HTTP.
type request struct {
	method, host, path string
	header             http.Header
}

// get is a GET of a path, with headers by name and value.
func get(path string, headers ...string) request {
	r := request{method: http.MethodGet, host: "ml.example.com", path: path, header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		r.header.Add(headers[i], headers[i+1])
	}
	return r
}

// websocket is a request that becomes one.
func websocket(path string, headers ...string) request {
	return get(path, append(headers, "Connection", "Upgrade", "Upgrade", "websocket")...)
}

// gateway is a connection manager of a gateway and its routes.
type gateway struct {
	manager *hcm.HttpConnectionManager
	routes  *routev3.RouteConfiguration
}

// outcome is where a request goes: to a cluster, or nowhere with a status.
type outcome struct {
	cluster string
	request request
	status  int
	// timeout is how long an answer may take, 0 for as long as it likes.
	timeout time.Duration
}

// send follows a request as Envoy does. What this does not understand fails the test, so that nothing is passed over.
func (g gateway) send(t *testing.T, r request) outcome {
	t.Helper()
	r.header = r.header.Clone()
	wantsUpgrade := r.header.Get("Upgrade") != ""
	upgrades := len(g.manager.UpgradeConfigs) == 1 && g.manager.UpgradeConfigs[0].UpgradeType == "websocket"
	normal, ok := normalised(g.manager, r.path)
	if !ok || wantsUpgrade && !upgrades {
		return outcome{status: http.StatusForbidden}
	}
	r.path = normal
	for _, candidate := range hosted(g.routes, r.host) {
		if matches(t, candidate.GetMatch(), r) {
			return act(t, candidate, r)
		}
	}
	return outcome{status: http.StatusNotFound}
}

// hosted are the routes of the virtual host of a name.
func hosted(c *routev3.RouteConfiguration, name string) []*routev3.Route {
	for _, domain := range []string{name, "*"} {
		for _, h := range c.GetVirtualHosts() {
			for _, d := range h.GetDomains() {
				if strings.EqualFold(d, domain) {
					return h.GetRoutes()
				}
			}
		}
	}
	return nil
}

var (
	unreserved = regexp.MustCompile(`(?i)%(2d|2e|5f|7e|3[0-9]|[46][1-9a-f]|[57][0-9a])`)
	slashes    = regexp.MustCompile(`//+`)
)

// normalised is a path as a connection manager passes it on; false when it turns it away.
func normalised(m *hcm.HttpConnectionManager, target string) (string, bool) {
	p, query, asked := strings.Cut(target, "?")
	switch m.GetPathWithEscapedSlashesAction() {
	case hcm.HttpConnectionManager_UNESCAPE_AND_FORWARD:
		p = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", `\`, "%5c", `\`).Replace(p)
	case hcm.HttpConnectionManager_KEEP_UNCHANGED:
	default:
		return "", false
	}
	if m.GetNormalizePath().GetValue() {
		p = unreserved.ReplaceAllStringFunc(p, func(escaped string) string {
			return string(rune(unhex(escaped[1])<<4 | unhex(escaped[2])))
		})
		p = dotless(strings.ReplaceAll(p, `\`, "/"))
	}
	if m.GetMergeSlashes() {
		p = slashes.ReplaceAllString(p, "/")
	}
	if asked {
		p += "?" + query
	}
	return p, true
}

func unhex(digit byte) int { return strings.IndexByte("0123456789abcdef", digit|0x20) }

// dotless is a path without its segments . and .., where slashes that follow one another stay.
func dotless(p string) string {
	const empty = "\x00"
	kept := strings.ReplaceAll(strings.ReplaceAll(p, "//", "/"+empty+"/"), "//", "/"+empty+"/")
	clean := path.Clean(kept)
	if last := path.Base(kept); clean != "/" && (strings.HasSuffix(kept, "/") || last == "." || last == "..") {
		clean += "/"
	}
	return strings.ReplaceAll(clean, empty, "")
}

// matches is true of a route that is for a request.
func matches(t *testing.T, m *routev3.RouteMatch, r request) bool {
	t.Helper()
	if m.GetRuntimeFraction() != nil || m.GetGrpc() != nil || m.GetTlsContext() != nil || len(m.GetDynamicMetadata()) > 0 {
		t.Fatalf("not understood: %v", m)
	}
	if len(m.GetHeaders())+len(m.GetQueryParameters()) > 0 {
		t.Fatalf("no route of Millrace's looks at headers or queries: %v", m)
	}
	p, _, _ := strings.Cut(r.path, "?")
	switch by := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		return p == by.Path
	case *routev3.RouteMatch_Prefix:
		return strings.HasPrefix(p, by.Prefix)
	case *routev3.RouteMatch_PathSeparatedPrefix:
		return p == by.PathSeparatedPrefix || strings.HasPrefix(p, by.PathSeparatedPrefix+"/")
	}
	t.Fatalf("not understood: %v", m)
	return false
}

// act is what a route does with a request.
func act(t *testing.T, by *routev3.Route, r request) outcome {
	t.Helper()
	if direct := by.GetDirectResponse(); direct != nil {
		return outcome{status: int(direct.GetStatus())}
	}
	to := by.GetRoute()
	if to == nil || to.GetCluster() == "" || len(to.GetRequestMirrorPolicies()) > 0 {
		t.Fatalf("not understood: %v", by)
	}
	p, query, asked := strings.Cut(r.path, "?")
	m := by.GetMatch()
	switch matched := m.GetPath() + m.GetPrefix() + m.GetPathSeparatedPrefix(); {
	case to.GetPrefixRewrite() != "":
		p = to.GetPrefixRewrite() + strings.TrimPrefix(p, matched)
	case to.GetRegexRewrite() != nil:
		by := regexp.MustCompile(to.GetRegexRewrite().GetPattern().GetRegex())
		p = by.ReplaceAllString(p, regexp.MustCompile(`\\(\d)`).ReplaceAllString(to.GetRegexRewrite().GetSubstitution(), "$${$1}"))
	}
	if asked {
		p += "?" + query
	}
	r.path, r.header = p, maps.Clone(r.header)
	for _, h := range by.GetRequestHeadersToAdd() {
		if strings.Contains(h.GetHeader().GetValue(), "%") {
			t.Fatalf("Envoy takes %q for a command", h.GetHeader().GetValue())
		}
		r.header.Set(h.GetHeader().GetKey(), h.GetHeader().GetValue())
	}
	for _, name := range by.GetRequestHeadersToRemove() {
		r.header.Del(name)
	}
	return outcome{cluster: to.GetCluster(), request: r, timeout: to.GetTimeout().AsDuration()}
}
