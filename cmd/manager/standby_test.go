// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/test/database"
)

// asManager makes this test binary the manager itself, so that a test can kill one.
const asManager = "MILLRACE_TEST_AS_MANAGER"

func TestMain(m *testing.M) {
	if os.Getenv(asManager) != "" {
		main()
		return
	}
	os.Exit(envtest.Main(m))
}

// manager is one that runs as a process of its own.
type manager struct {
	*exec.Cmd
	port string
}

// pair is two managers before one API server and one database.
type pair struct {
	*testing.T
	admin      client.Client
	namespace  string
	kubeconfig string
	config     string
}

const lease = "millrace-manager"

func (p *pair) start(name string) manager {
	p.Helper()
	listener, err := (&net.ListenConfig{}).Listen(p.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	dir := p.TempDir()
	config := filepath.Join(dir, "config.yaml")
	text := strings.ReplaceAll(p.config, "PORT", port)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
	c := exec.CommandContext(context.WithoutCancel(p.Context()), os.Args[0], "--config="+config, "--replicas=2", "--kubeconfig="+p.kubeconfig)
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), asManager+"=yes"), log, log
	if err := c.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = log.Close()
		if said, _ := os.ReadFile(log.Name()); p.Failed() {
			p.Logf("%s said:\n%s", name, said)
		}
	})
	return manager{c, port}
}

// eventually waits for what managers do.
func (p *pair) eventually(what string, f func() bool) {
	p.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("waited in vain for %s", what)
		}
	}
}

func (p *pair) get(name string, o client.Object) bool {
	return p.admin.Get(p.Context(), client.ObjectKey{Namespace: p.namespace, Name: name}, o) == nil
}

// run makes the pod of a trial's job, as the cluster would, and returns its token.
func (p *pair) run(trial string) string {
	p.Helper()
	job := &batchv1.Job{}
	p.eventually("the job "+trial, func() bool { return p.get(trial, job) })
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: trial + "-x", Labels: job.Spec.Template.Labels}}
	pod.Spec = job.Spec.Template.Spec
	pod.Spec.ServiceAccountName, pod.Spec.Volumes, pod.Spec.Containers[0].VolumeMounts = "default", nil, nil
	pod.Spec.AutomountServiceAccountToken = new(false)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "default"}}
	if err := client.IgnoreAlreadyExists(p.admin.Create(p.Context(), account)); err != nil {
		p.Fatal(err)
	}
	if err := p.admin.Create(p.Context(), pod); err != nil {
		p.Fatal(err)
	}
	p.state(trial, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:      []string{names.Audience},
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	if err := p.admin.SubResource("token").Create(p.Context(), account, request); err != nil {
		p.Fatal(err)
	}
	return request.Status.Token
}

// state sets the state of a trial's pod, as a kubelet would.
func (p *pair) state(trial string, phase corev1.PodPhase, state corev1.ContainerState) {
	p.Helper()
	pod := &corev1.Pod{}
	if !p.get(trial+"-x", pod) {
		p.Fatal("there is no pod")
	}
	pod.Status.Phase = phase
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: "i", State: state}}
	if err := p.admin.Status().Update(p.Context(), pod); err != nil {
		p.Fatal(err)
	}
}

// finish ends a trial's pod and job.
func (p *pair) finish(trial string) {
	p.Helper()
	p.state(trial, corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}})
	job, now := &batchv1.Job{}, metav1.Now()
	if !p.get(trial, job) {
		p.Fatal("there is no job")
	}
	job.Status = batchv1.JobStatus{StartTime: &now, CompletionTime: &now, Succeeded: 1}
	for _, kind := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	if err := p.admin.Status().Update(p.Context(), job); err != nil {
		p.Fatal(err)
	}
}

// push sends a value to one manager, as a pod that the Service leads there.
func (p *pair) push(to manager, trial, token string, value float64) (int, string) {
	p.Helper()
	ca := &corev1.ConfigMap{}
	p.eventually("the CA", func() bool { return p.get(names.Authority, ca) })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.Data[names.AuthorityKey]))
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+to.port)
		},
	}
	defer transport.CloseIdleConnections()
	body := strings.NewReader(fmt.Sprintf(`{"accuracy": %g}`, value))
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, names.MetricsURL("default", p.namespace, trial), body)
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	response, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	said, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(said)
}

// must pushes until the manager takes it: a standby may see a Trial a moment later than the leader.
func (p *pair) must(to manager, trial, token string, value float64) {
	p.Helper()
	var said string
	p.eventually(fmt.Sprintf("%s to take %g", trial, value), func() (ok bool) {
		var status int
		if status, said = p.push(to, trial, token, value); status != http.StatusOK && status != 0 && status != http.StatusNotFound {
			p.Fatalf("%d %s", status, said)
		}
		return status == http.StatusOK
	})
}

func search(namespace string) *v1alpha1.Experiment {
	e := &v1alpha1.Experiment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "goal"}}
	e.Spec = v1alpha1.ExperimentSpec{
		Objectives: []v1alpha1.Objective{{Metric: "accuracy", Direction: v1alpha1.Maximize, Goal: "0.99"}},
		Algorithm:  v1alpha1.Algorithm{Name: "Random"}, ParallelTrials: 1, MaxTrials: 2,
		Parameters:       []v1alpha1.Parameter{{Name: "width", Type: v1alpha1.ParameterInt, Min: "1", Max: "1000"}},
		MetricsCollector: v1alpha1.MetricsCollector{Kind: v1alpha1.CollectPush},
		TrialTemplate: v1alpha1.TrialTemplate{Job: &runtime.RawExtension{Raw: []byte(`{"apiVersion":"batch/v1","kind":"Job","spec":{"template":` +
			`{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"i","args":["${trialParameters.width}"]}]}}}}`)}},
	}
	return e
}

// holder is who leads; empty while nobody does.
func (p *pair) holder() string {
	held := &coordinationv1.Lease{}
	if p.admin.Get(p.Context(), client.ObjectKey{Namespace: "default", Name: lease}, held) != nil || held.Spec.HolderIdentity == nil {
		return ""
	}
	return *held.Spec.HolderIdentity
}

func newPair(t *testing.T) *pair {
	t.Helper()
	server := envtest.Start(t)
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{T: t, admin: server.Client(t, scheme), namespace: server.Namespace(t), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(p.kubeconfig, server.Kubeconfig(t, "managers", "system:masters"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.config = "{leaderElection: {namespace: default, leaseDuration: 3s, renewDeadline: 2s, retryPeriod: 500ms}, metrics: {bindAddress: \"\"}, " +
		"health: {bindAddress: \"\"}, server: {bindAddress: \"127.0.0.1:PORT\", namespace: default}, store: {dsn: \"" + database.Serve(t, "MariaDB") + "\"}}"
	return p
}

// What a standby is pushed the leader sees while the trial runs, and the next leader when the first was killed in between.
func TestAStandbyTakesPushes(t *testing.T) {
	p := newPair(t)
	one := p.start("one")
	p.eventually("a leader", func() bool { return p.holder() != "" })
	first := p.holder()
	two := p.start("two")
	p.reachesGoal(two)
	if p.holder() != first {
		t.Fatal("the leader has changed")
	}
	p.losesNothing(one, two)
	if p.holder() == first {
		t.Error("the killed manager leads")
	}
}

// reachesGoal pushes a value to the standby that ends the search of the leader.
func (p *pair) reachesGoal(standby manager) {
	p.Helper()
	goal := search(p.namespace)
	if err := p.admin.Create(p.Context(), goal); err != nil {
		p.Fatal(err)
	}
	p.must(standby, "goal-1", p.run("goal-1"), 0.995)
	p.eventually("the leader to see that the goal is reached", func() bool {
		return p.get("goal", goal) && condition.Get(goal, v1alpha1.ConditionSucceeded).Reason == v1alpha1.ReasonGoalReached
	})
}

// losesNothing kills the leader while a trial pushes to both.
func (p *pair) losesNothing(leader, standby manager) {
	p.Helper()
	alone := &v1alpha1.Trial{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "alone"}}
	e := search(p.namespace).Spec
	alone.Spec.Objectives, alone.Spec.Template, alone.Spec.MetricsCollector = e.Objectives, e.TrialTemplate, e.MetricsCollector
	alone.Spec.Assignments = []v1alpha1.Assignment{{Name: "width", Value: new("7")}}
	if err := p.admin.Create(p.Context(), alone); err != nil {
		p.Fatal(err)
	}
	token := p.run("alone")
	p.must(standby, "alone", token, 0.5)
	p.must(leader, "alone", token, 0.25)
	if err := leader.Process.Kill(); err != nil {
		p.Fatal(err)
	}
	for _, value := range []float64{0.75, 0.625} {
		if status, said := p.push(standby, "alone", token, value); status != http.StatusOK {
			p.Errorf("without a leader: %d %s", status, said)
		}
	}
	p.finish("alone")
	p.eventually("the next leader to tell what was measured", func() bool { return p.get("alone", alone) && len(alone.Status.Metrics) > 0 })
	if got := alone.Status.Metrics[0]; got.Min != "0.25" || got.Max != "0.75" || got.Latest != "0.625" || len(alone.Status.Curve) != 4 {
		p.Errorf("measured %+v, a curve of %d", got, len(alone.Status.Curve))
	}
}
