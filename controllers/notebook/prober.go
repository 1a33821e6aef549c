// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/activity"
	"github.com/millrace-ml/millrace/internal/culling"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
)

// Probing says how servers are asked when they were last used.
type Probing struct {
	// Every is the time between two rounds.
	Every time.Duration
	// Timeout is how long one server may take.
	Timeout time.Duration
	// Parallel is how many are asked at once.
	Parallel int
	// Proxy is the address of the HTTP proxy through which everything is asked, empty for none.
	Proxy string
	// Prometheus is the address of one that knows of use, empty for none; Queries are asked there.
	Prometheus string
	Queries    []string
}

// asker asks a server; an *activity.Client does.
type asker interface {
	Ask(ctx context.Context, t activity.Target) (activity.Answer, error)
}

// meter knows of use by metrics; *activity.Metrics does.
type meter interface {
	// Used are the notebooks that are known of, and whether they are in use.
	Used(ctx context.Context) (map[asked]bool, error)
}

// prober asks every server that may be stopped for being idle, round after round, and keeps the answers for the passes to read. It runs
// where the manager leads, and never in a pass: a server that does not answer holds nobody up.
type prober struct {
	Probing
	reader   client.Reader
	uses     *engine.Snapshot[asked, Activity]
	settings Settings
	asker    asker
	meter    meter
	clock    clock.WithTicker

	mu sync.Mutex
	// faults are the failures of each server since it answered: one alone is not worth telling.
	faults map[asked]fault
	// began is the time of the first round: nobody knows what metrics showed before.
	began time.Time
}

// patience is how many answers may fail in a row before it is told, and in how many the cause is another before that is.
const patience = 2

// fault is how often a server did not answer, and how often in the end for the same cause.
type fault struct {
	times, same int
	cause       string
}

// NeedLeaderElection lets only the manager ask that leads.
func (*prober) NeedLeaderElection() bool { return true }

// Start asks until the context ends.
func (p *prober) Start(ctx context.Context) error {
	ticker := p.clock.NewTicker(p.Every)
	defer ticker.Stop()
	for {
		p.sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// server is a server to ask.
type server struct {
	name  asked
	nb    *v1alpha1.Notebook
	pod   *corev1.Pod
	rules culling.Policy
}

// sweep asks every server once.
func (p *prober) sweep(ctx context.Context) {
	if p.began.IsZero() {
		p.began, p.faults = p.clock.Now(), map[asked]fault{}
	}
	servers, err := p.servers(ctx)
	if err != nil {
		log.FromContext(ctx).Error(err, "Listing the notebooks to ask")
		return
	}
	p.forget(servers)
	used, err := p.used(ctx)
	if err != nil {
		log.FromContext(ctx).Error(err, "Reading the use of notebooks from metrics")
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, max(p.Parallel, 1))
	for _, s := range servers {
		slots <- struct{}{}
		wait.Go(func() {
			p.ask(ctx, s, used, err)
			<-slots
		})
	}
	wait.Wait()
}

// servers are those that are up and may be stopped for being idle.
func (p *prober) servers(ctx context.Context) ([]server, error) {
	var all v1alpha1.NotebookList
	if err := p.reader.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var found []server
	teams := map[string]*v1alpha1.ProfileCulling{}
	for i := range all.Items {
		nb := &all.Items[i]
		if stopOf(nb) != nil {
			continue
		}
		team, known := teams[nb.Namespace]
		if !known {
			var err error
			if team, err = teamOf(ctx, p.reader, nb.Namespace); err != nil {
				return nil, err
			}
			teams[nb.Namespace] = team
		}
		s := server{name: client.ObjectKeyFromObject(nb), nb: nb, pod: &corev1.Pod{}, rules: p.settings.culling(team, nb)}
		if s.rules.Idle == 0 {
			continue
		}
		key := client.ObjectKey{Namespace: nb.Namespace, Name: nb.Name + "-0"}
		if p.reader.Get(ctx, key, s.pod) == nil && up(s.pod) && !terminating(s.pod) && s.pod.Labels[names.Notebook] == nb.Name {
			found = append(found, s)
		}
	}
	return found, nil
}

// forget drops what is known of servers that are asked no more.
func (p *prober) forget(servers []server) {
	kept := map[asked]bool{}
	for _, s := range servers {
		kept[s.name] = true
	}
	p.uses.Forget(func(name asked) bool { return !kept[name] })
	for name := range p.faults {
		if !kept[name] {
			delete(p.faults, name)
		}
	}
}

func (p *prober) used(ctx context.Context) (map[asked]bool, error) {
	if p.meter == nil {
		return nil, nil
	}
	return p.meter.Used(ctx)
}

// ask asks one server, and metrics if there are any. Both have to be known: nothing is idle by half of the truth.
func (p *prober) ask(ctx context.Context, s server, used map[asked]bool, unmetered error) {
	answer, err := p.answer(ctx, s, used)
	if err == nil {
		err = unmetered
	}
	if ctx.Err() != nil || err != nil && !p.fails(s.name, err.Error()) {
		return
	}
	if err != nil {
		p.uses.Set(s.name, Activity{Pod: s.pod.UID, Fault: clip(err.Error(), 512)})
		return
	}
	p.answered(s.name)
	answer.Busy = answer.Busy || used[s.name]
	p.uses.Set(s.name, judge(s.rules, s.pod.UID, p.known(s), answer, p.clock.Now()))
}

// answer is the server's own. One that has none is known by metrics alone, if any name it.
func (p *prober) answer(ctx context.Context, s server, used map[asked]bool) (activity.Answer, error) {
	if p.meter != nil && activity.Silent(s.nb.Spec.Server) {
		if _, named := used[s.name]; !named && used != nil {
			return activity.Answer{}, errors.New("no metric tells of its connections: docs/notebook.md says which do")
		}
		return activity.Answer{}, nil
	}
	path := names.NotebookPath(s.nb.Namespace, s.nb.Name) + "/"
	if r := s.nb.Spec.Route; r != nil && r.Rewrite != "" {
		path = strings.TrimSuffix(r.Rewrite, "/") + "/"
	}
	return p.asker.Ask(ctx, activity.Target{
		Server: s.nb.Spec.Server, Base: "http://" + s.nb.Name + "." + s.nb.Namespace + ".svc." + p.domain() + path,
	})
}

func (p *prober) domain() string {
	if d := p.settings.Route.ClusterDomain; d != "" {
		return d
	}
	return "cluster.local"
}

// known is a time before which the server was not idle: its start, the last use that was recorded, and, where only metrics tell, the first
// round.
func (p *prober) known(s server) time.Time {
	at := s.pod.CreationTimestamp.Time
	for _, c := range s.pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.LastTransitionTime.After(at) {
			at = c.LastTransitionTime.Time
		}
	}
	if last := s.nb.Status.LastActivity; last != nil && last.After(at) && !last.After(p.clock.Now()) {
		at = last.Time
	}
	if activity.Silent(s.nb.Spec.Server) && p.began.After(at) {
		at = p.began
	}
	return at
}

// fails counts a failure and is true when it is to be told: when there were enough, and then when the cause is another for good.
func (p *prober) fails(name asked, cause string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults[name]
	if f.cause != cause {
		f.cause, f.same = cause, 0
	}
	f.times, f.same = f.times+1, f.same+1
	p.faults[name] = f
	return f.times == patience || f.same >= patience
}

func (p *prober) answered(name asked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.faults, name)
}
