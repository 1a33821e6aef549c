// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package route

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

var everything = Settings{Host: "ml.example.com", IstioGateway: "kubeflow/gateway", Gateway: "infra/shared", IngressClass: "nginx", UserHeader: "kubeflow-userid"}

func headers(names ...string) Route {
	var to Route
	for _, name := range names {
		to.Headers = append(to.Headers, v1alpha1.Header{Name: name, Value: "ann"})
	}
	return to
}

func TestTheKindOfARoute(t *testing.T) {
	istio, gateway, ingress := rows[0].Object, rows[1].Object, rows[2].Object
	for name, c := range map[string]struct {
		asked    v1alpha1.RouteKind
		to       Route
		settings Settings
		served   []schema.GroupVersionKind
		want     v1alpha1.RouteKind
		obstacle string
	}{
		"the first that is served":            {settings: everything, served: Kinds(), want: v1alpha1.RouteIstio},
		"the first that is configured":        {settings: Settings{Gateway: "a/b"}, served: Kinds(), want: v1alpha1.RouteGateway},
		"what is asked for":                   {asked: v1alpha1.RouteIngress, settings: everything, served: Kinds(), want: v1alpha1.RouteIngress},
		"what the manager says":               {settings: Settings{Kind: v1alpha1.RouteGateway, IstioGateway: "a/b", Gateway: "a/b"}, served: Kinds(), want: v1alpha1.RouteGateway},
		"none is asked for":                   {asked: v1alpha1.RouteNone, settings: everything, served: Kinds()},
		"nothing is served":                   {settings: everything},
		"what is asked for is not served":     {asked: v1alpha1.RouteIstio, settings: everything, served: []schema.GroupVersionKind{gateway}, obstacle: v1alpha1.ReasonRouteNotServed},
		"what is asked for is not configured": {asked: v1alpha1.RouteIstio, served: []schema.GroupVersionKind{istio}, obstacle: v1alpha1.ReasonRouteNotConfigured},
		"an Ingress rewrites nothing":         {asked: v1alpha1.RouteIngress, to: Route{Rewrite: "/"}, settings: everything, served: Kinds(), obstacle: v1alpha1.ReasonRouteNotConfigured},
		"an Ingress is not taken for it":      {to: headers("x-root"), settings: everything, served: []schema.GroupVersionKind{ingress}},
		"headers are set":                     {to: headers("x-root"), settings: everything, served: Kinds(), want: v1alpha1.RouteIstio},
		"nobody is made somebody":             {to: headers("x-root", "Kubeflow-UserID"), settings: everything, served: Kinds(), obstacle: v1alpha1.ReasonRouteNotAccepted},
		"nor by a token of somebody's":        {to: headers("authorization"), settings: everything, served: Kinds(), obstacle: v1alpha1.ReasonRouteNotAccepted},
		"nor is a gateway told to do anything": {
			to: Route{Headers: []v1alpha1.Header{{Name: "x-root", Value: "%ENVIRONMENT(TOKEN)%"}}}, settings: everything, served: Kinds(),
			obstacle: v1alpha1.ReasonRouteNotAccepted,
		},
		"nor where there is only one kind":     {to: headers("kubeflow-userid"), asked: v1alpha1.RouteGateway, settings: everything, served: Kinds(), obstacle: v1alpha1.ReasonRouteNotAccepted},
		"a header of a mesh that is not there": {to: headers("kubeflow-userid"), settings: Settings{Gateway: "a/b"}, served: Kinds(), want: v1alpha1.RouteGateway},
	} {
		t.Run(name, func(t *testing.T) {
			row, obstacle := Choose(c.asked, c.to, c.settings, c.served)
			var kind v1alpha1.RouteKind
			if row != nil {
				kind = row.Kind
			}
			reason := ""
			if obstacle != nil {
				reason = obstacle.Reason
			}
			if kind != c.want || reason != c.obstacle {
				t.Errorf("got %q and obstacle %q, want %q and %q", kind, reason, c.want, c.obstacle)
			}
		})
	}
}

// made are the objects of one route, by kind.
var made = map[v1alpha1.RouteKind]string{
	v1alpha1.RouteIstio: `
hosts: [ml.example.com]
gateways: [kubeflow/gateway]
http:
- match: [{uri: {prefix: /notebook/team/lab/}}, {uri: {exact: /notebook/team/lab}}]
  rewrite: {uri: /}
  headers: {request: {set: {x-root: /notebook/team/lab/}}}
  route: [{destination: {host: lab.team.svc.cluster.local, port: {number: 80}}}]
`,
	v1alpha1.RouteGateway: `
hostnames: [ml.example.com]
parentRefs: [{name: shared, namespace: infra}]
rules:
- matches: [{path: {type: PathPrefix, value: /notebook/team/lab}}]
  filters:
  - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-root, value: /notebook/team/lab/}]}}
  backendRefs: [{name: lab, port: 80}]
`,
	v1alpha1.RouteIngress: `
ingressClassName: nginx
rules:
- host: ml.example.com
  http: {paths: [{path: /notebook/team/lab/, pathType: Prefix, backend: {service: {name: lab, port: {number: 80}}}}]}
`,
}

func TestObjectsOfARoute(t *testing.T) {
	to := Route{
		Name: "r", Namespace: "team", Service: "lab", Port: 80, Path: "/notebook/team/lab/", Rewrite: "/", Labels: map[string]string{"a": "b"},
		Headers: []v1alpha1.Header{{Name: "x-root", Value: "/notebook/team/lab/"}},
	}
	for i := range rows {
		o := rows[i].Make(to, everything)
		if o.GroupVersionKind() != rows[i].Object || o.GetName() != "r" || o.GetNamespace() != "team" || o.GetLabels()["a"] != "b" {
			t.Errorf("%s: the object is %v", rows[i].Kind, o.Object["metadata"])
		}
		var want map[string]any
		if err := yaml.Unmarshal([]byte(made[rows[i].Kind]), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain(t, want), plain(t, o.Object["spec"])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", rows[i].Kind, diff)
		}
		o.DeepCopy() // panics where a value is of a type that JSON does not have
	}
}

// plain is a value as its text says it.
func plain(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnyHostAndAddresses(t *testing.T) {
	if got := rows[0].Make(Route{Path: "/a/"}, Settings{}).Object["spec"].(map[string]any)["hosts"]; !cmp.Equal(got, []any{"*"}) {
		t.Errorf("without a host the route is for %v", got)
	}
	for want, s := range map[string]Settings{"/a/": {}, "https://h/a/": {Host: "h"}, "http://h/a/": {Host: "h", Scheme: "http"}} {
		if got := s.URL("/a/"); got != want {
			t.Errorf("the address is %s, want %s", got, want)
		}
	}
}

func TestAGatewayThatDoesNotTakeARoute(t *testing.T) {
	for text, want := range map[string]string{
		`status: {parents: [{conditions: [{type: Accepted, status: "False", message: no such listener}]}]}`: "no such listener",
		`status: {parents: [{conditions: [{type: Accepted, status: "True", message: fine}]}]}`:              "",
		`status: {parents: [null, 7, {conditions: [null]}]}`:                                                "",
		`status: {parents: 7}`: "",
		`{}`:                   "",
	} {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		if got, refused := Refusal(&o); got != want || refused != (want != "") {
			t.Errorf("%s: %q, %v", strings.TrimSpace(text), got, refused)
		}
	}
}
