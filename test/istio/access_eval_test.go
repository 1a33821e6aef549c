// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// call is a connection to a pod: by whom, as mutual TLS tells, and with what. An empty principal is one without.
type call struct {
	principal string
	request   request
	// groups are what a token tells that the pod's sidecar has checked.
	groups []string
	// tcp is true of a connection that is not HTTP to the sidecar.
	tcp bool
}

// door is what a sidecar asks before it lets in, in its order. One without rules is walled up: no chain of filters is for that kind of connection.
type door []*rbacv3.RBAC

// opens is true when every filter lets a call in. What this does not understand fails the test, so that nothing is passed over.
func (d door) opens(t *testing.T, c call) bool {
	t.Helper()
	if len(d) == 0 {
		return false
	}
	for _, rules := range d {
		matched := false
		for _, policy := range rules.GetPolicies() {
			what := func(p *rbacv3.Permission) bool { return permitted(t, p, c) }
			who := func(p *rbacv3.Principal) bool { return identified(t, p, c) }
			matched = matched || slices.ContainsFunc(policy.GetPermissions(), what) && slices.ContainsFunc(policy.GetPrincipals(), who)
		}
		if matched != (rules.GetAction() == rbacv3.RBAC_ALLOW) {
			return false
		}
	}
	return true
}

// permitted is true of a call that does what a permission is for.
func permitted(t *testing.T, p *rbacv3.Permission, c call) bool {
	t.Helper()
	each := func(p *rbacv3.Permission) bool { return permitted(t, p, c) }
	switch by := p.GetRule().(type) {
	case *rbacv3.Permission_Any:
		return by.Any
	case *rbacv3.Permission_AndRules:
		return all(by.AndRules.GetRules(), each)
	case *rbacv3.Permission_OrRules:
		return slices.ContainsFunc(by.OrRules.GetRules(), each)
	case *rbacv3.Permission_NotRule:
		return !each(by.NotRule)
	case *rbacv3.Permission_Header:
		return headed(t, by.Header, c)
	case *rbacv3.Permission_UrlPath:
		p, _, _ := strings.Cut(c.request.path, "?")
		return !c.tcp && text(t, by.UrlPath.GetPath(), p)
	}
	t.Fatalf("not understood: %v", p)
	return false
}

// identified is true of a call by whom a principal is for.
func identified(t *testing.T, p *rbacv3.Principal, c call) bool {
	t.Helper()
	each := func(p *rbacv3.Principal) bool { return identified(t, p, c) }
	switch by := p.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		return by.Any
	case *rbacv3.Principal_AndIds:
		return all(by.AndIds.GetIds(), each)
	case *rbacv3.Principal_OrIds:
		return slices.ContainsFunc(by.OrIds.GetIds(), each)
	case *rbacv3.Principal_NotId:
		return !each(by.NotId)
	case *rbacv3.Principal_Authenticated_:
		return c.principal != "" && text(t, by.Authenticated.GetPrincipalName(), "spiffe://"+c.principal)
	case *rbacv3.Principal_FilterState:
		if by.FilterState.GetKey() != "io.istio.peer_principal" {
			t.Fatalf("not understood: %v", p)
		}
		return c.principal != "" && text(t, by.FilterState.GetStringMatch(), "spiffe://"+c.principal)
	case *rbacv3.Principal_Header:
		return headed(t, by.Header, c)
	case *rbacv3.Principal_Metadata:
		return claimed(t, by.Metadata, c)
	}
	t.Fatalf("not understood: %v", p)
	return false
}

func all[T any](of []T, each func(T) bool) bool {
	return !slices.ContainsFunc(of, func(one T) bool { return !each(one) })
}

// headed is true of a request with a header. One that is there more than once is its values with commas between them, as in Envoy.
func headed(t *testing.T, m *routev3.HeaderMatcher, c call) bool {
	t.Helper()
	values := c.request.header.Values(m.GetName())
	if m.GetName() == ":method" {
		values = []string{c.request.method}
	}
	if c.tcp || m.GetTreatMissingHeaderAsEmpty() || m.GetInvertMatch() || m.GetPresentMatch() == (m.GetStringMatch() != nil) {
		t.Fatalf("not understood: %v", m)
	}
	return len(values) > 0 && (m.GetPresentMatch() || text(t, m.GetStringMatch(), strings.Join(values, ",")))
}

// claimed is true of a call with a token that tells of one of the groups.
func claimed(t *testing.T, m *matcherv3.MetadataMatcher, c call) bool {
	t.Helper()
	var keys []string
	for _, segment := range m.GetPath() {
		keys = append(keys, segment.GetKey())
	}
	if key := strings.Join(append(keys, m.GetFilter()), " "); key != "payload groups envoy.filters.http.jwt_authn" || m.GetInvert() {
		t.Fatalf("not understood: %v", m)
	}
	return among(t, m.GetValue(), c.groups, true)
}

// among is true where a claim has a value: one of a list, or its only one.
func among(t *testing.T, m *matcherv3.ValueMatcher, claim []string, list bool) bool {
	t.Helper()
	switch by := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_OrMatch:
		return slices.ContainsFunc(by.OrMatch.GetValueMatchers(), func(m *matcherv3.ValueMatcher) bool { return among(t, m, claim, list) })
	case *matcherv3.ValueMatcher_ListMatch:
		return list && slices.ContainsFunc(claim, func(one string) bool { return among(t, by.ListMatch.GetOneOf(), []string{one}, false) })
	case *matcherv3.ValueMatcher_StringMatch:
		return !list && text(t, by.StringMatch, claim[0])
	}
	t.Fatalf("not understood: %v", m)
	return false
}

func text(t *testing.T, m *matcherv3.StringMatcher, value string) bool {
	t.Helper()
	if m.GetIgnoreCase() {
		t.Fatalf("not understood: %v", m)
	}
	switch by := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return value == by.Exact
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(value, by.Prefix)
	case *matcherv3.StringMatcher_Suffix:
		return strings.HasSuffix(value, by.Suffix)
	case *matcherv3.StringMatcher_SafeRegex:
		return regexp.MustCompile("^(?:" + by.SafeRegex.GetRegex() + ")$").MatchString(value)
	}
	t.Fatalf("not understood: %v", m)
	return false
}
