// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package route leads requests from outside of the cluster to a Service. Everything in it is pure: a route in, an unstructured object
// of the kind that leads there out. A kind of route is a row of a table.
package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Settings are the manager's.
type Settings struct {
	// Kind is what routes that leave it open are; Auto takes the first of the table that is served and configured.
	Kind v1alpha1.RouteKind
	// Host is the name under which the cluster is reached, empty for any. Scheme is http or https.
	Host, Scheme string
	// IstioGateway and Gateway are NAMESPACE/NAME of a Gateway of Istio and of the Gateway API.
	IstioGateway, Gateway string
	// IngressClass is the class of an Ingress.
	IngressClass string
	// ClusterDomain is the domain of the cluster's DNS.
	ClusterDomain string
	// UserHeader is the header by which a gateway says who somebody is. No route sets it: whoever comes along would be that one.
	UserHeader string
}

// Route leads a path to a Service.
type Route struct {
	// Name and Namespace are of the object; the Service is in the same namespace.
	Name, Namespace string
	Labels          map[string]string
	Service         string
	// Port is the Service's.
	Port int32
	// Path begins and ends in /. Rewrite is what the server sees instead of it, empty for the same.
	Path, Rewrite string
	// Headers are set on every request.
	Headers []v1alpha1.Header
}

// Row is a kind of route.
type Row struct {
	Kind v1alpha1.RouteKind
	// Object is the kind of the object.
	Object schema.GroupVersionKind
	// Needs is the field of the configuration without which there is none of this kind, Has its value.
	Needs string
	Has   func(Settings) string
	// Rewrites is true where the path can be rewritten and headers can be set.
	Rewrites bool
	spec     func(Route, Settings) map[string]any
}

var rows = []Row{
	{
		Kind: v1alpha1.RouteIstio, Object: schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1beta1", Kind: "VirtualService"},
		Needs: "notebook.route.istioGateway", Has: func(s Settings) string { return s.IstioGateway }, Rewrites: true, spec: virtualService,
	},
	{
		Kind: v1alpha1.RouteGateway, Object: schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
		Needs: "notebook.route.gateway", Has: func(s Settings) string { return s.Gateway }, Rewrites: true, spec: httpRoute,
	},
	{
		Kind: v1alpha1.RouteIngress, Object: schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"},
		Needs: "notebook.route.ingressClass", Has: func(s Settings) string { return s.IngressClass }, spec: ingress,
	},
}

// Kinds are the kinds of objects that routes are made of, for discovery.
func Kinds() []schema.GroupVersionKind {
	var all []schema.GroupVersionKind
	for _, r := range rows {
		all = append(all, r.Object)
	}
	return all
}

// Obstacle is why there is no route, for a condition.
type Obstacle struct{ Reason, Message string }

// Choose finds the kind for a route that is asked for in a cluster that serves these kinds. Without an obstacle and a row none is wanted.
func Choose(asked v1alpha1.RouteKind, to Route, s Settings, served []schema.GroupVersionKind) (*Row, *Obstacle) {
	if obstacle := s.pretence(to); obstacle != nil {
		return nil, obstacle
	}
	want, rewrite := asked, to.Rewrite != "" || len(to.Headers) > 0
	if want == "" || want == v1alpha1.RouteAuto {
		want = cmp.Or(s.Kind, v1alpha1.RouteAuto)
	}
	for i := range rows {
		r := &rows[i]
		obstacle := r.obstacle(s, served, rewrite)
		switch {
		case want == r.Kind:
			return only(r, obstacle), obstacle
		case want == v1alpha1.RouteAuto && obstacle == nil:
			return r, nil
		}
	}
	return nil, nil
}

// pretence is a header that would make everybody somebody, or that a gateway would take for a command of its own. Admission refuses the second
// kind, but in objects that were there before it did.
func (s Settings) pretence(to Route) *Obstacle {
	for _, h := range to.Headers {
		if s.UserHeader != "" && (strings.EqualFold(h.Name, s.UserHeader) || strings.EqualFold(h.Name, "Authorization")) {
			return &Obstacle{v1alpha1.ReasonRouteNotAccepted, fmt.Sprintf(
				"spec.route.requestHeaders: %s says who somebody is, which is the gateway's to say: remove it.", h.Name,
			)}
		}
		if strings.Contains(h.Value, "%") {
			return &Obstacle{v1alpha1.ReasonRouteNotAccepted, fmt.Sprintf(
				"spec.route.requestHeaders: a gateway takes the %% in the value of %s for a command: write the value without it.", h.Name,
			)}
		}
	}
	return nil
}

func only(r *Row, obstacle *Obstacle) *Row {
	if obstacle != nil {
		return nil
	}
	return r
}

func (r *Row) obstacle(s Settings, served []schema.GroupVersionKind, rewrite bool) *Obstacle {
	switch {
	case !slices.Contains(served, r.Object):
		return &Obstacle{v1alpha1.ReasonRouteNotServed, fmt.Sprintf(
			"The cluster does not serve %s of %s: install it, or choose another spec.route.kind.", r.Object.Kind, r.Object.GroupVersion(),
		)}
	case r.Has(s) == "":
		return &Obstacle{v1alpha1.ReasonRouteNotConfigured, fmt.Sprintf("%s is not set in the manager's configuration: set it, or choose another spec.route.kind.", r.Needs)}
	case rewrite && !r.Rewrites:
		return &Obstacle{v1alpha1.ReasonRouteNotConfigured, fmt.Sprintf(
			"An %s can neither rewrite paths nor set headers: remove spec.route.rewrite and requestHeaders, or choose another spec.route.kind.", r.Object.Kind,
		)}
	}
	return nil
}

// Make is the object of a route.
func (r *Row) Make(to Route, s Settings) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": r.spec(to, s)}}
	o.SetGroupVersionKind(r.Object)
	o.SetName(to.Name)
	o.SetNamespace(to.Namespace)
	o.SetLabels(to.Labels)
	return o
}

// URL is the address of a path, as far as the host is known.
func (s Settings) URL(path string) string {
	if s.Host == "" {
		return path
	}
	return cmp.Or(s.Scheme, "https") + "://" + s.Host + path
}

func virtualService(to Route, s Settings) map[string]any {
	slashed := strings.TrimSuffix(cmp.Or(to.Rewrite, to.Path), "/") + "/" // what is matched is replaced as it stands, its last slash too
	http := map[string]any{
		"match": []any{
			map[string]any{"uri": map[string]any{"prefix": to.Path}},
			map[string]any{"uri": map[string]any{"exact": strings.TrimSuffix(to.Path, "/")}},
		},
		"rewrite": map[string]any{"uri": slashed},
		"route": []any{map[string]any{"destination": map[string]any{
			"host": to.Service + "." + to.Namespace + ".svc." + cmp.Or(s.ClusterDomain, "cluster.local"),
			"port": map[string]any{"number": int64(to.Port)},
		}}},
	}
	if len(to.Headers) > 0 {
		set := map[string]any{}
		for _, h := range to.Headers {
			set[h.Name] = h.Value
		}
		http["headers"] = map[string]any{"request": map[string]any{"set": set}}
	}
	return map[string]any{"hosts": []any{cmp.Or(s.Host, "*")}, "gateways": []any{s.IstioGateway}, "http": []any{http}}
}

func httpRoute(to Route, s Settings) map[string]any {
	namespace, name, _ := strings.Cut(s.Gateway, "/")
	rule := map[string]any{
		"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": strings.TrimSuffix(to.Path, "/")}}},
		"backendRefs": []any{map[string]any{"name": to.Service, "port": int64(to.Port)}},
	}
	if filters := filtersOf(to); len(filters) > 0 {
		rule["filters"] = filters
	}
	spec := map[string]any{
		"parentRefs": []any{map[string]any{"name": name, "namespace": namespace}},
		"rules":      []any{rule},
	}
	if s.Host != "" {
		spec["hostnames"] = []any{s.Host}
	}
	return spec
}

func filtersOf(to Route) []any {
	var filters []any
	if to.Rewrite != "" {
		filters = append(filters, map[string]any{"type": "URLRewrite", "urlRewrite": map[string]any{
			"path": map[string]any{"type": "ReplacePrefixMatch", "replacePrefixMatch": to.Rewrite},
		}})
	}
	if len(to.Headers) == 0 {
		return filters
	}
	var set []any
	for _, h := range to.Headers {
		set = append(set, map[string]any{"name": h.Name, "value": h.Value})
	}
	return append(filters, map[string]any{"type": "RequestHeaderModifier", "requestHeaderModifier": map[string]any{"set": set}})
}

func ingress(to Route, s Settings) map[string]any {
	rule := map[string]any{"http": map[string]any{"paths": []any{map[string]any{
		"path": to.Path, "pathType": "Prefix",
		"backend": map[string]any{"service": map[string]any{"name": to.Service, "port": map[string]any{"number": int64(to.Port)}}},
	}}}}
	if s.Host != "" {
		rule["host"] = s.Host
	}
	return map[string]any{"ingressClassName": s.IngressClass, "rules": []any{rule}}
}

// Refusal says why no gateway leads requests along a route, as far as the object itself tells: an HTTPRoute does.
func Refusal(o *unstructured.Unstructured) (string, bool) {
	parents, _, err := unstructured.NestedSlice(o.Object, "status", "parents")
	if err != nil {
		return "", false
	}
	for _, p := range parents {
		parent, _ := p.(map[string]any)
		conditions, _, _ := unstructured.NestedSlice(parent, "conditions")
		for _, c := range conditions {
			if condition, _ := c.(map[string]any); condition["type"] == "Accepted" && condition["status"] == "False" {
				return fmt.Sprint(condition["message"]), true
			}
		}
	}
	return "", false
}
