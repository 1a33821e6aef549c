// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/names"
)

// Publisher puts the certificate of the CA into a ConfigMap of each namespace that needs it. Pods that mount it wait for it by
// themselves. It belongs to no trial, for a namespace may have many, and stays, as kube-root-ca.crt does. It is a Runnable of the
// leader.
type Publisher struct {
	api       kubernetes.Interface
	cached    client.Reader
	namespace string
	clock     clock.Clock
	log       logr.Logger
	queue     workqueue.TypedRateLimitingInterface[string]

	mu     sync.Mutex
	ca     []byte
	faults map[string]string
}

// NewPublisher makes a Publisher. The reader is of a cache that has the ConfigMaps of Millrace.
func NewPublisher(api kubernetes.Interface, cached client.Reader, namespace string, clk clock.Clock, log logr.Logger) *Publisher {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](again/50, again)
	return &Publisher{
		api: api, cached: cached, namespace: namespace, clock: clk, log: log, faults: map[string]string{},
		queue: workqueue.NewTypedRateLimitingQueue(limiter),
	}
}

// NeedLeaderElection makes it the leader's.
func (p *Publisher) NeedLeaderElection() bool { return true }

// Need says that pods of a namespace mount the ConfigMap, and returns why it could not be published; empty when it was or will be.
func (p *Publisher) Need(ctx context.Context, namespace string) string {
	p.mu.Lock()
	ca, fault := p.ca, p.faults[namespace]
	p.mu.Unlock()
	var have corev1.ConfigMap
	err := p.cached.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.Authority}, &have)
	if err == nil && ca != nil && have.Data[names.AuthorityKey] == string(ca) {
		return ""
	}
	p.queue.Add(namespace)
	return fault
}

// Start publishes until the context ends.
func (p *Publisher) Start(ctx context.Context) error {
	stop := context.AfterFunc(ctx, p.queue.ShutDown)
	defer stop()
	for {
		namespace, ended := p.queue.Get()
		if ended {
			return nil
		}
		p.handle(ctx, namespace)
		p.queue.Done(namespace)
	}
}

// tries is how often a namespace is tried before it has to be needed again.
const tries = 10

func (p *Publisher) handle(ctx context.Context, namespace string) {
	err := p.publish(ctx, namespace)
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	p.mu.Lock()
	if p.faults[namespace] = fault; fault == "" {
		delete(p.faults, namespace)
	}
	p.mu.Unlock()
	if err == nil || ctx.Err() != nil || p.queue.NumRequeues(namespace) >= tries {
		p.queue.Forget(namespace)
		return
	}
	p.log.Info("The CA could not be published", "namespace", namespace, "error", err.Error())
	p.queue.AddRateLimited(namespace)
}

func (p *Publisher) publish(ctx context.Context, namespace string) error {
	ca, err := p.authority(ctx)
	if err != nil {
		return err
	}
	maps := p.api.CoreV1().ConfigMaps(namespace)
	have, err := maps.Get(ctx, names.Authority, metav1.GetOptions{})
	if err == nil && have.Labels[names.ManagedBy] != names.Manager {
		return fmt.Errorf("the ConfigMap %s of the namespace is not Millrace's: rename it", names.Authority)
	}
	if err == nil && have.Data[names.AuthorityKey] == string(ca) {
		return nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading the ConfigMap %s: %w", names.Authority, err)
	}
	want := applycorev1.ConfigMap(names.Authority, namespace).
		WithLabels(map[string]string{names.ManagedBy: names.Manager}).
		WithData(map[string]string{names.AuthorityKey: string(ca)})
	if _, err := maps.Apply(ctx, want, metav1.ApplyOptions{FieldManager: names.Manager, Force: true}); err != nil {
		return fmt.Errorf("writing the ConfigMap %s: %w", names.Authority, err)
	}
	return nil
}

func (p *Publisher) authority(ctx context.Context) ([]byte, error) {
	p.mu.Lock()
	ca := p.ca
	p.mu.Unlock()
	if ca != nil {
		return ca, nil
	}
	a, err := LoadAuthority(ctx, p.api, p.namespace, p.clock)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ca = a.PEM
	return p.ca, nil
}
