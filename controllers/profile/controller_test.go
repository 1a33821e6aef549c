// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/profile"
)

// bench is a controller without a manager: the test calls Reconcile itself. The controller has the manager's role and no more.
type bench struct {
	client.WithWatch
	t        *testing.T
	clock    *testclock.FakePassiveClock
	requests *envtest.Counter
	run      *engine.Reconciler[*v1alpha1.Profile, World]
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return scheme
}

func newBench(t *testing.T) *bench {
	t.Helper()
	server, scheme := envtest.Start(t), newScheme(t)
	b := &bench{WithWatch: server.Client(t, scheme), t: t, clock: testclock.NewFakePassiveClock(time.Now())}
	b.install()
	var config *rest.Config
	config, b.requests = envtest.Counted(server.User(t, "manager"))
	counted, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	settings := profile.Default()
	settings.TemplateNamespace = server.Namespace(t)
	// Reads are a cache's in a manager, and cost no request.
	deps := engine.Deps{Client: reading{counted, b.WithWatch}, Live: counted, Recorder: events.NewFakeRecorder(1000), Clock: b.clock}
	b.run = engine.New(Name, Kind(nil, settings), deps)
	b.must(b.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: settings.TemplateNamespace, Name: "s3", Labels: map[string]string{"millrace.dev/profile-secret": "true"}},
		StringData: map[string]string{"bucket": "data-${PROFILE}", "user": "${OWNER}"},
	}))
	b.must(b.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: settings.TemplateNamespace, Name: "private"}, StringData: map[string]string{"password": "secret"},
	}))
	return b
}

// reading reads with another client, which costs nothing, and writes with its own.
type reading struct {
	client.WithWatch
	from client.Reader
}

func (r reading) Get(ctx ctxt, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	return r.from.Get(ctx, key, o)
}

// make creates a Profile and brings it to rest.
func (b *bench) make(p *v1alpha1.Profile) {
	b.t.Helper()
	b.must(b.Create(b.t.Context(), p))
	b.rest(p.Name)
}

// rest passes over a Profile until a pass sends nothing.
func (b *bench) rest(name string) {
	b.t.Helper()
	for range 10 {
		if b.pass(name) == 0 {
			return
		}
		b.clock.SetTime(b.clock.Now().Add(10 * time.Second))
	}
	b.t.Fatalf("Profile %s does not come to rest: %v", name, b.requests.Total())
}

// pass runs one reconcile and returns how many requests it sent.
func (b *bench) pass(name string) int {
	b.t.Helper()
	b.requests.Reset()
	if _, err := b.run.Reconcile(b.t.Context(), b.read(name)); err != nil {
		b.t.Fatal(err)
	}
	return len(b.requests.Requests())
}

func (b *bench) read(name string) *v1alpha1.Profile {
	b.t.Helper()
	p := &v1alpha1.Profile{}
	b.must(b.Get(b.t.Context(), client.ObjectKey{Name: name}, p))
	return p
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// change edits a Profile and brings it to rest.
func (b *bench) change(name string, edit func(*v1alpha1.Profile)) {
	b.t.Helper()
	p := b.read(name)
	edit(p)
	b.must(b.Update(b.t.Context(), p))
	b.rest(name)
}

func (b *bench) reason(name, kind string) string {
	b.t.Helper()
	c := meta.FindStatusCondition(b.read(name).Status.Conditions, kind)
	return string(c.Status) + " " + c.Reason
}

func (b *bench) subjects(namespace, binding string) []string {
	b.t.Helper()
	var rb rbacv1.RoleBinding
	b.must(b.Get(b.t.Context(), client.ObjectKey{Namespace: namespace, Name: binding}, &rb))
	var all []string
	for _, s := range rb.Subjects {
		all = append(all, s.Name)
	}
	return all
}

func owned(name, owner string) *v1alpha1.Profile {
	return &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProfileSpec{Owner: v1alpha1.Subject{Name: owner}}}
}

func member(name string, role v1alpha1.ProfileRole) v1alpha1.Member {
	return v1alpha1.Member{Subject: v1alpha1.Subject{Name: name}, Role: role}
}

func TestAProfileIsMadeMendedAndSilent(t *testing.T) {
	b := newBench(t)
	p := owned("silent", "ann")
	p.Spec.ResourceQuota = &corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": quantity("10")}}
	p.Spec.Secrets = []v1alpha1.ProfileSecret{{Name: "store", Template: "s3"}}
	b.make(p)
	if got := b.reason("silent", v1alpha1.ConditionReady); got != "True Applied" {
		t.Fatalf("Ready is %s: %+v", got, b.read("silent").Status.Conditions)
	}
	var secret corev1.Secret
	b.must(b.Get(t.Context(), client.ObjectKey{Namespace: "silent", Name: "store"}, &secret))
	if string(secret.Data["bucket"]) != "data-silent" || string(secret.Data["user"]) != "ann" {
		t.Errorf("the Secret holds %s", secret.Data)
	}
	// What somebody changes is changed back.
	var policy networkingv1.NetworkPolicy
	b.must(b.Get(t.Context(), client.ObjectKey{Namespace: "silent", Name: isolationName}, &policy))
	policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
	b.must(b.Update(t.Context(), &policy))
	b.rest("silent")
	b.must(b.Get(t.Context(), client.ObjectKeyFromObject(&policy), &policy))
	if len(policy.Spec.Ingress) != 1 || len(policy.Spec.Ingress[0].From) != 3 {
		t.Errorf("the policy is not mended: %+v", policy.Spec)
	}
	b.change("silent", func(p *v1alpha1.Profile) { p.Spec.ResourceQuota, p.Spec.Owner.Name = nil, "bob" })
	var quota corev1.ResourceQuota
	if err := b.Get(t.Context(), client.ObjectKey{Namespace: "silent", Name: quotaName}, &quota); !apierrors.IsNotFound(err) {
		t.Errorf("the quota is still there: %v", err)
	}
	if got := b.subjects("silent", "millrace-admin"); len(got) != 1 || got[0] != "bob" {
		t.Errorf("the admins are %v, want the new owner alone", got)
	}
	b.clock.SetTime(b.clock.Now().Add(24 * time.Hour))
	if sent := b.pass("silent"); sent != 0 {
		t.Errorf("a pass in steady state sends %v", b.requests.Total())
	}
}

func TestARoleEndsWhenItsTimeIsOver(t *testing.T) {
	b := newBench(t)
	p := owned("expiry", "ann")
	guest := member("guest", v1alpha1.RoleEditor)
	guest.Expires = new(metav1.NewTime(b.clock.Now().Add(time.Hour)))
	p.Spec.Members = []v1alpha1.Member{guest}
	b.make(p)
	if got := b.subjects("expiry", "millrace-edit"); len(got) != 2 || got[0] != "guest" {
		t.Fatalf("the editors are %v", got)
	}
	b.clock.SetTime(guest.Expires.Time)
	b.rest("expiry")
	if got := b.subjects("expiry", "millrace-edit"); len(got) != 1 {
		t.Errorf("the editors are %v after the hour", got)
	}
	if got := b.read("expiry").Status.Expired; len(got) != 1 || got[0] != "User/guest" {
		t.Errorf("the status says that the time of %v is over", got)
	}
}

func TestANamespaceIsTakenOverOnlyWhenItConsents(t *testing.T) {
	b := newBench(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "old"}}
	b.must(b.Create(t.Context(), ns))
	b.must(b.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "old", Name: "default-editor"}}))
	b.must(b.Create(t.Context(), owned("old", "ann")))
	b.pass("old")
	b.change("old", func(p *v1alpha1.Profile) { p.Spec.Namespace.PodSecurity = "restricted" })
	if sent := b.pass("old"); sent > 0 {
		t.Errorf("a namespace of somebody else costs %v", b.requests.Total())
	}
	if got := b.reason("old", v1alpha1.ConditionNamespaceReady); got != "False NotAdoptable" {
		t.Errorf("NamespaceReady is %s", got)
	}
	var all rbacv1.RoleBindingList
	if b.must(b.List(t.Context(), &all, client.InNamespace("old"))); len(all.Items) > 0 {
		t.Fatalf("access was given in a namespace of somebody else: %v", all.Items)
	}
	b.must(b.Get(t.Context(), client.ObjectKey{Name: "old"}, ns))
	ns.Annotations = map[string]string{"millrace.dev/adopt": "ann"}
	b.must(b.Update(t.Context(), ns))
	b.rest("old")
	if got := b.reason("old", v1alpha1.ConditionReady); got != "True Applied" {
		t.Errorf("Ready is %s: %+v", got, b.read("old").Status.Conditions)
	}
}

func TestOrphansStayAndAreTakenBack(t *testing.T) {
	b := newBench(t)
	p := owned("orphan", "ann")
	b.make(p)
	ns := &corev1.Namespace{}
	b.must(b.Get(t.Context(), client.ObjectKey{Name: "orphan"}, ns))
	if !metav1.IsControlledBy(ns, b.read("orphan")) {
		t.Fatal("the namespace would not go with the Profile")
	}
	b.change("orphan", func(p *v1alpha1.Profile) { p.Spec.DeletionPolicy = v1alpha1.OrphanNamespace })
	b.must(b.Get(t.Context(), client.ObjectKey{Name: "orphan"}, ns))
	if len(ns.OwnerReferences) > 0 {
		t.Fatalf("garbage collection would take the namespace: %v", ns.OwnerReferences)
	}
	b.must(b.Delete(t.Context(), b.read("orphan")))
	// A new Profile of the name gets all of it back, once the namespace consents.
	ns.Annotations["millrace.dev/adopt"] = "bob"
	b.must(b.Update(t.Context(), ns))
	b.make(owned("orphan", "bob"))
	if got := b.reason("orphan", v1alpha1.ConditionReady); got != "True Applied" {
		t.Errorf("Ready is %s: %+v", got, b.read("orphan").Status.Conditions)
	}
	if got := b.subjects("orphan", "millrace-admin"); len(got) != 1 || got[0] != "bob" {
		t.Errorf("the admins are %v", got)
	}
}

func TestNoOtherSecretIsATemplate(t *testing.T) {
	b := newBench(t)
	p := owned("thief", "eve")
	p.Spec.Secrets = []v1alpha1.ProfileSecret{{Name: "loot", Template: "private"}}
	b.must(b.Create(t.Context(), p))
	for range 3 {
		b.pass("thief")
	}
	if got := b.reason("thief", v1alpha1.ConditionSecretsReady); got != "False TemplateNotFound" {
		t.Errorf("SecretsReady is %s", got)
	}
	var loot corev1.Secret
	if err := b.Get(t.Context(), client.ObjectKey{Namespace: "thief", Name: "loot"}, &loot); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret was made: %v", err)
	}
}

func TestTheSchemaRefuses(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		edit func(*v1alpha1.Profile)
		want string
	}{
		"a namespace of the cluster": {func(p *v1alpha1.Profile) { p.Name = "kube-system" }, "metadata.name"},
		"anybody":                    {func(p *v1alpha1.Profile) { p.Spec.Members = []v1alpha1.Member{member("*", "viewer")} }, "*"},
		"everybody": {func(p *v1alpha1.Profile) {
			p.Spec.Members = []v1alpha1.Member{{Subject: v1alpha1.Subject{Kind: v1alpha1.UserGroup, Name: "system:authenticated"}}}
		}, "group"},
		"an account from nowhere": {func(p *v1alpha1.Profile) { p.Spec.Owner.Kind = v1alpha1.ServiceAccount }, "namespace"},
		"a label of ours": {func(p *v1alpha1.Profile) {
			p.Spec.Namespace.Labels = map[string]string{"millrace.dev/reaches-profiles": "Allow"}
		}, "millrace.dev"},
		"an identity that is none": {func(p *v1alpha1.Profile) {
			p.Spec.Identities = []v1alpha1.CloudIdentity{{Cloud: v1alpha1.AWS, Identity: "team"}}
		}, "ARN"},
	} {
		t.Run(name, func(t *testing.T) {
			p := owned("refused", "ann")
			c.edit(p)
			if err := b.Create(t.Context(), p, client.DryRunAll); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a refusal that tells of %s", err, c.want)
			}
		})
	}
}
