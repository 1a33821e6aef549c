// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// right is a use of resources, in one line: "VERBS GROUP: RESOURCES", the core group being "-", and who has it.
type right struct {
	what string
	may  []string
}

// rights are those of the namespace and those that lead out of it. The API server's own authorizer is asked for each.
var rights = []right{
	// Ways into a container, by each of the verbs that open one: a websocket is a GET.
	{"get,create -: pods/exec pods/attach pods/portforward pods/proxy services/proxy", editors},
	{"update,patch,delete -: pods/proxy services/proxy", nobody},
	{"update,patch -: pods/ephemeralcontainers pods/resize", editors},
	// Lies about what runs where, and what happened.
	{"update,patch -: pods/status services/status namespaces/status resourcequotas/status persistentvolumeclaims/status", nobody},
	{"create,update,patch,delete -: events endpoints pods/binding bindings podtemplates replicationcontrollers", nobody},
	{"create,update,patch,delete events.k8s.io: events", nobody},
	{"create,update,patch,delete discovery.k8s.io: endpointslices", nobody},
	{"get,create,update,patch,delete coordination.k8s.io: leases", nobody},
	{"update,patch millrace.dev: trainingjobs/status experiments/status trials/status suggestions/status notebooks/status poddefaults/status profiles/status", nobody},
	{"create,update,patch millrace.dev: trials/metrics", nobody},
	{"update,patch batch: jobs/status cronjobs/status", nobody},
	{"update,patch apps: statefulsets/status deployments/status", nobody},
	{"update,patch resource.k8s.io: resourceclaims/status", nobody},
	// What is made and looked at.
	{"create,update,patch,delete,deletecollection millrace.dev: trainingjobs experiments trials suggestions notebooks poddefaults", editors},
	{"get,list,watch millrace.dev: trainingjobs experiments trials suggestions notebooks poddefaults", readers},
	{"create,update,patch,delete,deletecollection batch: jobs cronjobs", editors},
	{"create,update,patch,delete,deletecollection apps: statefulsets deployments replicasets", editors},
	{"create,update,patch,delete,deletecollection -: pods services configmaps persistentvolumeclaims", editors},
	{"get,list,watch,create,update,patch,delete -: secrets", editors},
	{"get,list,watch -: pods pods/log pods/status events endpoints services serviceaccounts resourcequotas limitranges configmaps", readers},
	// Access, limits and borders.
	{"create,update,patch,delete rbac.authorization.k8s.io: roles rolebindings", admins},
	{"bind,escalate rbac.authorization.k8s.io: roles clusterroles rolebindings", nobody},
	{"create,update,patch,delete -: serviceaccounts", admins},
	{"create -: serviceaccounts/token", admins},
	{"impersonate -: serviceaccounts users groups", nobody},
	{"create,update,patch,delete networking.k8s.io: networkpolicies", admins},
	{"create,update,patch,delete networking.k8s.io: ingresses", nobody},
	{"create,update,patch,delete -: resourcequotas limitranges", nobody},
	{"get -: namespaces", readers},
	{"list,watch,create,update,patch,delete -: namespaces", nobody},
	{"update -: namespaces/finalize", nobody},
	// The mesh and the gateways: who writes these lets in whom he likes.
	{"get,create,update,patch,delete security.istio.io: authorizationpolicies peerauthentications requestauthentications", nobody},
	{"create,update,patch,delete networking.istio.io: virtualservices gateways destinationrules serviceentries sidecars envoyfilters", nobody},
	{"create,update,patch,delete gateway.networking.k8s.io: httproutes gateways referencegrants", nobody},
	// Daemons are on every node; what Trials make of other systems is theirs to make, and not their people's.
	{"create,update,patch apps: daemonsets controllerrevisions", nobody},
	{"create,update,patch argoproj.io: workflows", nobody},
	{"create,update,patch tekton.dev: pipelineruns taskruns", nobody},
	{"create,update,patch kueue.x-k8s.io: workloads localqueues clusterqueues", nobody},
	{"create,update,patch scheduling.k8s.io: priorityclasses", nobody},
	{"create,update,patch admissionregistration.k8s.io: mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations", nobody},
}

// TestRights asks for every person and every right whether he has it: none may be missing, and none too many.
func TestRights(t *testing.T) {
	b := newBench(t)
	b.make(staffed("rights"))
	b.make(owned("rights-other", "stranger"))
	account := "system:serviceaccount:"
	people := map[string]authorizationv1.SubjectAccessReviewSpec{
		"group editor": {User: "somebody", Groups: []string{"researchers"}}, "own default-editor": {User: account + "rights:default-editor"},
		"own default-viewer": {User: account + "rights:default-viewer"}, "own default": {User: account + "rights:default"},
		"another's default-editor": {User: account + "rights-other:default-editor"}, "nobody known": {User: "system:anonymous"},
	}
	for _, user := range []string{"owner", "admin", "editor", "viewer", "stranger"} {
		people[user] = authorizationv1.SubjectAccessReviewSpec{User: user, Groups: []string{"system:authenticated"}}
	}
	for who, spec := range people {
		for _, r := range rights {
			head, resources, _ := strings.Cut(r.what, ": ")
			verbs, group, _ := strings.Cut(head, " ")
			for verb := range strings.SplitSeq(verbs, ",") {
				for resource := range strings.FieldsSeq(resources) {
					name, sub, _ := strings.Cut(resource, "/")
					spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
						Namespace: "rights", Verb: verb, Group: strings.TrimPrefix(group, "-"), Resource: name, Subresource: sub,
					}
					review := &authorizationv1.SubjectAccessReview{Spec: spec}
					b.must(b.Create(t.Context(), review))
					if want := slices.Contains(r.may, who); review.Status.Allowed != want {
						t.Errorf("%s: %s %s: allowed is %v, want %v", who, verb, resource, review.Status.Allowed, want)
					}
				}
			}
		}
	}
}
