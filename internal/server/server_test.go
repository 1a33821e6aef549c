// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// world is a server before a real API server, with trials that are wanted.
type world struct {
	*Server
	api       kubernetes.Interface
	requests  *envtest.Counter
	namespace string
	clock     *clocktesting.FakeClock
	admin     client.WithWatch

	mu    sync.Mutex
	taken map[store.Series][]observe.Sample
	fails error
}

var digits = types.NamespacedName{Name: "digits-1"}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := envtest.Start(t)
	config, requests := server.Counted()
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		api: api, requests: requests, namespace: server.Namespace(t), clock: clocktesting.NewFakeClock(time.Now()),
		taken: map[store.Series][]observe.Sample{},
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w.admin = server.Client(t, scheme)
	w.Server = New(Options{
		Address: "127.0.0.1:0", Namespace: w.namespace, API: api, Cache: w.admin, Clock: w.clock, Log: logr.Discard(),
		Rate: 10, Burst: 50, Accept: w.accept,
	})
	w.trial(t, digits.Name)
	return w
}

// trial makes a Trial that wants the loss.
func (w *world) trial(t *testing.T, name string) *v1alpha1.Trial {
	t.Helper()
	made := &v1alpha1.Trial{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	made.Spec.Objectives = []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}}
	made.Spec.Template.Job = &runtime.RawExtension{Raw: []byte(`{"apiVersion":"batch/v1","kind":"Job"}`)}
	if err := w.admin.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	return made
}

func (w *world) accept(_ context.Context, series store.Series, samples []observe.Sample) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken[series] = append(w.taken[series], samples...)
	return w.fails
}

// pod makes a pod of a trial with a service account, and returns the token that its kubelet would give it.
func (w *world) pod(t *testing.T, namespace, name, trial, audience string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := w.api.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{names.Trial: trial}},
		Spec:       corev1.PodSpec{ServiceAccountName: name, Containers: []corev1.Container{{Name: "main", Image: "x"}}},
	}
	pod, err := w.api.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return w.token(t, namespace, name, audience, &authenticationv1.BoundObjectReference{
		Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID,
	})
}

func (w *world) token(t *testing.T, namespace, account, audience string, bound *authenticationv1.BoundObjectReference) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, BoundObjectRef: bound}}
	made, err := w.api.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

// request is a push as a client sends it.
type request struct {
	namespace, trial, token, media, body string
}

func (w *world) do(r request) (int, string) {
	path := "/v1/namespaces/" + r.namespace + "/trials/" + r.trial + "/metrics"
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(r.body))
	req.Header.Set("Content-Type", r.media)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	recorder := httptest.NewRecorder()
	w.Handler().ServeHTTP(recorder, req)
	return recorder.Code, recorder.Body.String()
}

func TestWhoMayPushWhat(t *testing.T) {
	w := newWorld(t)
	elsewhere := envtest.Start(t).Namespace(t)
	ours := w.pod(t, w.namespace, "digits-1-0", digits.Name, names.Audience)
	api := w.pod(t, w.namespace, "digits-1-1", digits.Name, "https://kubernetes.default.svc")
	other := w.pod(t, w.namespace, "other", "digits-2", names.Audience)
	foreign := w.pod(t, elsewhere, "digits-1-0", digits.Name, names.Audience)
	allowed := w.allowed(t)
	unbound := w.token(t, w.namespace, "other", names.Audience, nil)
	gone := w.pod(t, w.namespace, "gone", digits.Name, names.Audience)
	one := `{"loss": 0.5, "step": 3}`
	for name, tc := range map[string]struct {
		request
		status int
		text   string
	}{
		"its pod":                  {request{w.namespace, "digits-1", ours, "application/json", one}, 200, `{"stored":1}`},
		"no token":                 {request{w.namespace, "digits-1", "", "application/json", one}, 401, "Authorization: Bearer"},
		"no token at all":          {request{w.namespace, "digits-1", "nonsense", "application/json", one}, 401, "not valid"},
		"a token for another":      {request{w.namespace, "digits-1", api, "application/json", one}, 401, "audience millrace.dev"},
		"another trial's pod":      {request{w.namespace, "digits-1", other, "application/json", one}, 403, "has not the label millrace.dev/trial=digits-1"},
		"a pod of another team":    {request{w.namespace, "digits-1", foreign, "application/json", one}, 403, "its pod is in the namespace " + elsewhere},
		"an account without a pod": {request{w.namespace, "digits-1", unbound, "application/json", one}, 403, "bound to no pod"},
		"an account with a role":   {request{w.namespace, "digits-1", allowed, "application/json", one}, 200, `{"stored":1}`},
		"a role for one trial":     {request{w.namespace, "other", allowed, "application/json", one}, 403, "no role lets it create trials/metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := w.do(tc.request)
			if status != tc.status || !strings.Contains(text, tc.text) {
				t.Errorf("%d %s, want %d %s", status, text, tc.status, tc.text)
			}
		})
	}
	t.Run("a pod that is gone", func(t *testing.T) {
		if status, text := w.do(request{w.namespace, "digits-1", gone, "", one}); status != 200 {
			t.Fatalf("while it is there: %d %s", status, text)
		}
		zero := int64(0)
		if err := w.api.CoreV1().Pods(w.namespace).Delete(t.Context(), "gone", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			t.Fatal(err)
		}
		if status, text := w.do(request{w.namespace, "digits-1", gone, "", one}); status != 403 || !strings.Contains(text, "is gone") {
			t.Errorf("%d %s", status, text)
		}
	})
	t.Run("the API server is asked once a minute", func(t *testing.T) {
		w.requests.Reset()
		for range 3 {
			w.do(request{w.namespace, "digits-1", ours, "application/json", one})
		}
		if got := w.requests.Requests(); len(got) != 0 {
			t.Errorf("asked %v", got)
		}
		w.clock.Step(kept + time.Second)
		w.do(request{w.namespace, "digits-1", ours, "application/json", one})
		if diff := cmp.Diff(map[string]int{"create tokenreviews": 1}, w.requests.Total()); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

// allowed is the token of an account without a pod that may push metrics of one trial.
func (w *world) allowed(t *testing.T) string {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "pusher"}, Rules: []rbacv1.PolicyRule{{
		Verbs: []string{"create"}, APIGroups: []string{"millrace.dev"}, Resources: []string{"trials/metrics"}, ResourceNames: []string{digits.Name},
	}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "pusher"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "pusher"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: "pusher"}},
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "pusher"}}
	_, err1 := w.api.RbacV1().Roles(w.namespace).Create(t.Context(), role, metav1.CreateOptions{})
	_, err2 := w.api.RbacV1().RoleBindings(w.namespace).Create(t.Context(), binding, metav1.CreateOptions{})
	_, err3 := w.api.CoreV1().ServiceAccounts(w.namespace).Create(t.Context(), account, metav1.CreateOptions{})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return w.token(t, w.namespace, "pusher", names.Audience, nil)
}

func TestWhatIsTaken(t *testing.T) {
	w := newWorld(t)
	token := w.pod(t, w.namespace, "digits-1-0", digits.Name, names.Audience)
	packed, err := observe.Pack([]observe.Sample{{Metric: "loss", Value: 1, At: time.Unix(5, 6), Seq: 7, Step: 8}})
	if err != nil {
		t.Fatal(err)
	}
	many := strings.Repeat(`{"loss":1,"a":2}`+"\n", MaxSamples/2+1)
	now := w.clock.Now()
	for name, tc := range map[string]struct {
		trial, media, body string
		status             int
		text               string
		want               []observe.Sample
	}{
		"an object":            {"digits-1", "application/json", `{"loss": 0.5}`, 200, "1", []observe.Sample{{Metric: "loss", Value: 0.5, At: now, Step: -1}}},
		"a form, as urllib":    {"digits-1", "application/x-www-form-urlencoded", `{"loss": 0.5}`, 200, "1", []observe.Sample{{Metric: "loss", Value: 0.5, At: now, Step: -1}}},
		"a step":               {"digits-1", "", `{"loss": 0.5, "step": 2}`, 200, "1", []observe.Sample{{Metric: "loss", Value: 0.5, At: now, Step: 2, Seq: 3 << 20}}},
		"lines of objects":     {"digits-1", "application/x-ndjson", "{\"loss\": 1}\n{\"loss\": 2}", 200, "2", []observe.Sample{{Metric: "loss", Value: 1, At: now, Step: -1}, {Metric: "loss", Value: 2, At: now, Seq: 1, Step: -1}}},
		"text":                 {"digits-1", "text/plain; charset=utf-8", "loss=1 x=2", 200, "1", []observe.Sample{{Metric: "loss", Value: 1, At: now, Step: -1}}},
		"of a launcher":        {"digits-1", observe.MediaType, string(packed), 200, "1", []observe.Sample{{Metric: "loss", Value: 1, At: time.Unix(5, 6).UTC(), Seq: 7, Step: 8}}},
		"nothing":              {"digits-1", "application/json", "{}", 400, "no metrics", nil},
		"a line that is cut":   {"digits-1", "application/json", "{\"loss\": 1}\n{\"loss\": 2", 400, "is none", nil},
		"several lines":        {"digits-1", "application/json", "{\n\"loss\": 1\n}", 400, "each line must be a JSON object", nil},
		"a word":               {"digits-1", "application/json", `{"loss": "low"}`, 400, `loss: \"low\" is not a number`, nil},
		"XML":                  {"digits-1", "application/xml", "<x/>", 415, "send application/json", nil},
		"too long":             {"digits-1", "application/json", strings.Repeat(" ", MaxBody+1), 413, "at most 1048576 bytes", nil},
		"too many":             {"digits-1", "application/json", many, 413, "at most 5000 values", nil},
		"broken of a launcher": {"digits-1", observe.MediaType, "{", 400, "reading samples", nil},
	} {
		t.Run(name, func(t *testing.T) {
			clear(w.taken)
			status, text := w.do(request{w.namespace, tc.trial, token, tc.media, tc.body})
			if status != tc.status || !strings.Contains(text, tc.text) {
				t.Errorf("%d %s, want %d %s", status, text, tc.status, tc.text)
			}
			var got []observe.Sample
			for _, samples := range w.taken {
				got = samples
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
	for fails, want := range map[error]int{store.ErrTooMany: 400, errors.New("secret words of the database"): 503} {
		w.fails = fails
		status, text := w.do(request{w.namespace, "digits-1", token, "", `{"loss": 1}`})
		if status != want || strings.Contains(text, "secret") {
			t.Errorf("%v is %d %s", fails, status, text)
		}
	}
	w.fails = nil
	t.Run("too often", func(t *testing.T) {
		limited := 0
		for range 2 * w.Burst {
			if status, _ := w.do(request{w.namespace, "digits-1", token, "", `{"loss": 1}`}); status == http.StatusTooManyRequests {
				limited++
			}
		}
		if limited < w.Burst {
			t.Errorf("%d of %d were refused", limited, 2*w.Burst)
		}
		w.clock.Step(time.Second)
		if status, text := w.do(request{w.namespace, "digits-1", token, "", `{"loss": 1}`}); status != 200 {
			t.Errorf("a second later: %d %s", status, text)
		}
	})
}

// Nothing is taken for a trial that is not there, or is over.
func TestWhichTrialsTake(t *testing.T) {
	w := newWorld(t)
	other := w.pod(t, w.namespace, "other", "other", names.Audience)
	push := func(want int) {
		if status, text := w.do(request{w.namespace, "other", other, "", `{"loss": 1}`}); status != want {
			t.Errorf("%d %s, want %d", status, text, want)
		}
	}
	push(404)
	made := w.trial(t, "other")
	push(200)
	condition.Set(made, v1alpha1.ConditionSucceeded, metav1.ConditionTrue, v1alpha1.ReasonJobSucceeded, "It succeeded.")
	if err := w.admin.Status().Update(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	push(404)
}

// A pod that is being stopped outlives its trial, and there may be one of the same name again.
func TestAPodOfAnEarlierTrial(t *testing.T) {
	w := newWorld(t)
	token := w.pod(t, w.namespace, "digits-1-0", digits.Name, names.Audience)
	for age, want := range map[time.Duration]int{apart / 2: 200, apart + 2*time.Second: 403} {
		w.Cache = interceptor.NewClient(w.admin, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				err := c.Get(ctx, key, o, opts...)
				if pod, ok := o.(*corev1.Pod); ok {
					pod.CreationTimestamp.Time = pod.CreationTimestamp.Add(-age)
				}
				return err
			},
		})
		status, text := w.do(request{w.namespace, digits.Name, token, "", `{"loss": 1}`})
		if status != want || want == 403 && !strings.Contains(text, "of an earlier trial") {
			t.Errorf("%s older: %d %s", age, status, text)
		}
	}
}

// A webhook that knows no audiences authenticates a token for anybody; such a token is not for us.
func TestATokenForAnybodyIsForNobody(t *testing.T) {
	audiences := `["millrace.dev"]`
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{"authenticated":true,"audiences":`+audiences+`}}`)
	}))
	defer api.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	r := newReviewer(client, clocktesting.NewFakePassiveClock(time.Now()))
	for list, known := range map[string]bool{`["millrace.dev"]`: true, `[]`: false, `["https://kubernetes.default.svc"]`: false} {
		audiences = list
		v, err := r.review(t.Context(), "token")
		if err != nil || (v.caller != nil) != known {
			t.Errorf("audiences %s: %+v, %v", list, v, err)
		}
	}
}

func TestNewTokensAreReviewedAtABoundedRate(t *testing.T) {
	w := newWorld(t)
	limited := 0
	for i := range mostReviews + 20 {
		if status, _ := w.do(request{w.namespace, "digits-1", fmt.Sprint("nonsense-", i), "", "{}"}); status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited != 20 {
		t.Errorf("%d of 20 too many were refused", limited)
	}
}
