// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

const (
	user    = "kubeflow-userid"
	ingress = "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"
	manager = "cluster.local/ns/millrace-system/sa/millrace-manager"
)

// deeds are what somebody may want with the pods of team-a. A path below /notebook/ is the one outside, and is led as the gateway leads it.
var deeds = map[string]struct {
	pod     string
	port    uint32
	request request
}{
	"page":           {"team-a/lab-0", 8888, get("/notebook/team-a/lab/tree")},
	"kernel":         {"team-a/lab-0", 8888, websocket("/notebook/team-a/lab/api/kernels/x/channels?session_id=1")},
	"terminal":       {"team-a/lab-0", 8888, websocket("/notebook/team-a/lab/terminals/websocket/1")},
	"start a kernel": {"team-a/lab-0", 8888, with(get("/notebook/team-a/lab/api/kernels"), http.MethodPost)},
	"editor":         {"team-a/code-0", 8888, websocket("/notebook/team-a/code/stable?reconnectionToken=1")},
	"metrics":        {"team-a/code-0", 8888, get("/notebook/team-a/code/metrics")},
	"another port":   {"team-a/lab-0", 9999, get("/")},
	"ssh":            {"team-a/lab-0", 22, get("/")},
	"board":          {"team-a/board-0", 6006, get("/data/runs?tag=loss")},
	"post to board":  {"team-a/board-0", 6006, with(get("/data/runs"), http.MethodPost)},
	"shell of board": {"team-a/board-0", 6006, websocket("/shell")},
}

func with(r request, method string) request {
	r.method = method
	return r
}

// What callers do, in words.
var (
	everything = slices.Sorted(maps.Keys(deeds))
	onTheWeb   = without(everything, "ssh")
	looking    = without(onTheWeb, "start a kernel", "post to board")
	board      = []string{"board"}
	nothing    []string
)

func without(all []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

// callers are who they are by the certificates of the mesh, by the headers they come with and by the groups of a token.
var callers = map[string]struct {
	principal string
	headers   []string
	groups    []string
	want      []string
}{
	"the owner":                              {ingress, []string{user, "ann@example.com"}, nil, onTheWeb},
	"the owner over the Gateway API":         {gatewayAPI, []string{user, "ann@example.com"}, nil, onTheWeb},
	"the owner, with a header in capitals":   {ingress, []string{"KUBEFLOW-USERID", "ann@example.com"}, nil, onTheWeb},
	"an admin":                               {ingress, []string{user, "dan@example.com"}, nil, onTheWeb},
	"an editor":                              {ingress, []string{user, "bob@example.com"}, nil, onTheWeb},
	"an editor for an hour more":             {ingress, []string{user, "kim@example.com"}, nil, onTheWeb},
	"an editor by group":                     {ingress, []string{user, "x"}, []string{"staff", "research"}, onTheWeb},
	"a viewer":                               {ingress, []string{user, "zoe@example.com"}, nil, board},
	"a viewer by group":                      {ingress, nil, []string{"guests"}, board},
	"an editor whose time is over":           {ingress, []string{user, "eve@example.com"}, nil, nothing},
	"a viewer whose time is over now":        {ingress, []string{user, "max@example.com"}, nil, nothing},
	"a stranger":                             {ingress, []string{user, "zed@example.com"}, nil, nothing},
	"a stranger of another group":            {ingress, []string{user, "x"}, []string{"researchers", "guest"}, nothing},
	"nobody":                                 {ingress, nil, nil, nothing},
	"nobody, by an empty header":             {ingress, []string{user, ""}, nil, nothing},
	"nobody, over the Gateway API":           {gatewayAPI, nil, nil, nothing},
	"the owner in other letters":             {ingress, []string{user, "Ann@example.com"}, nil, nothing},
	"the owner and more":                     {ingress, []string{user, "ann@example.com.evil"}, nil, nothing},
	"two at once":                            {ingress, []string{user, "ann@example.com", user, "zed@example.com"}, nil, nothing},
	"a star":                                 {ingress, []string{user, "*"}, nil, nothing},
	"a header of another name":               {ingress, []string{"x-user", "ann@example.com"}, nil, nothing},
	"the team's own pods":                    {"cluster.local/ns/team-a/sa/default-editor", nil, nil, everything},
	"another team":                           {"cluster.local/ns/team-b/sa/default-editor", nil, nil, nothing},
	"another team that says it is the owner": {"cluster.local/ns/team-b/sa/default-editor", []string{user, "ann@example.com"}, []string{"research"}, nothing},
	"a team whose name begins alike":         {"cluster.local/ns/team-ab/sa/default-editor", nil, nil, nothing},
	"a service account that is an editor":    {"cluster.local/ns/builds/sa/ci.bot", nil, nil, everything},
	"one whose name is alike but for a dot":  {"cluster.local/ns/builds/sa/cixbot", nil, nil, nothing},
	"a service account that is a viewer":     {"cluster.local/ns/builds/sa/watch", nil, nil, board},
	"another of its namespace":               {"cluster.local/ns/builds/sa/default", nil, nil, nothing},
	"the manager":                            {manager, nil, nil, looking},
	"another pod beside the manager":         {"cluster.local/ns/millrace-system/sa/default", nil, nil, []string{"metrics"}},
	"Prometheus":                             {"cluster.local/ns/istio-system/sa/prometheus", nil, nil, []string{"metrics"}},
	"Prometheus that says it is the owner":   {"cluster.local/ns/istio-system/sa/prometheus", []string{user, "ann@example.com"}, nil, []string{"metrics"}},
	"a pod without the mesh":                 {"", []string{user, "ann@example.com"}, []string{"research"}, nothing},
}

func TestWhoMayDoWhat(t *testing.T) {
	p := newPilot(t, v1alpha1.RouteIstio, meshconfig.MeshConfig_ProxyPathNormalization_DEFAULT)
	g := p.gateway(t, v1alpha1.RouteIstio)
	doors := map[string]door{}
	for name, d := range deeds {
		doors[name] = p.door(t, d.pod, d.port, d.port == 22)
	}
	for name, caller := range callers {
		var may []string
		for _, deed := range everything {
			d := deeds[deed]
			c := call{principal: caller.principal, request: d.request, groups: caller.groups, tcp: d.port == 22}
			if strings.HasPrefix(c.request.path, "/notebook/") {
				c.request = g.send(t, c.request).request
			}
			c.request.header = c.request.header.Clone()
			for i := 0; i < len(caller.headers); i += 2 {
				c.request.header.Add(caller.headers[i], caller.headers[i+1])
			}
			if doors[deed].opens(t, c) {
				may = append(may, deed)
			}
		}
		if diff := cmp.Diff(caller.want, may); diff != "" {
			t.Errorf("%s may do (-want +got):\n%s", name, diff)
		}
	}
}

// TestNamesOfAnyKindAreTakenAsTheyStand asks for a team whose names are as odd as names may be: nothing in one is a pattern.
func TestNamesOfAnyKindAreTakenAsTheyStand(t *testing.T) {
	const owner = `CN=O'Neil+ml/x,OU=[Lab] %2e "1",O=Ødegård.example.com`
	door := newPilot(t, v1alpha1.RouteIstio, meshconfig.MeshConfig_ProxyPathNormalization_DEFAULT).door(
		t, strings.TrimSuffix(longest, "/")+"-0", 8888, false,
	)
	for name, wanted := range map[string]bool{
		owner: true, strings.ToLower(owner): false, strings.Replace(owner, "%2e", ".", 1): false, strings.Replace(owner, "[Lab]", "L", 1): false,
		strings.TrimSuffix(owner, ".com"): false, owner + "," + owner: false,
	} {
		if opened := door.opens(t, call{principal: ingress, request: get("/", user, name)}); opened != wanted {
			t.Errorf("%s is let in: %v", name, opened)
		}
	}
}
