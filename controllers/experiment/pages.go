// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
)

// pages keeps what was decoded of pages, which never change: an experiment of 10,000 trials has fifty, and is looked at with each end.
type pages struct {
	mu      sync.Mutex
	decoded map[types.UID]Page
}

func newPages() *pages { return &pages{decoded: map[types.UID]Page{}} }

// mostPages is how many pages are kept decoded before they are read anew.
const mostPages = 1000

// load lists the trials of an experiment, and its pages in their order.
func (p *pages) load(ctx context.Context, c client.Reader, e *v1alpha1.Experiment, mine client.ListOption) (World, error) {
	var trials v1alpha1.TrialList
	var configs corev1.ConfigMapList
	if err := c.List(ctx, &trials, client.InNamespace(e.Namespace), mine, client.UnsafeDisableDeepCopy); err != nil {
		return World{}, fmt.Errorf("reading trials of %s: %w", e.Name, err)
	}
	if err := c.List(ctx, &configs, client.InNamespace(e.Namespace), mine, client.UnsafeDisableDeepCopy); err != nil {
		return World{}, fmt.Errorf("reading pages of trials of %s: %w", e.Name, err)
	}
	var w World
	for i := range trials.Items {
		if metav1.IsControlledBy(&trials.Items[i], e) {
			w.Trials = append(w.Trials, trials.Items[i])
		}
	}
	for i := range configs.Items {
		if metav1.IsControlledBy(&configs.Items[i], e) {
			w.Pages = append(w.Pages, p.decode(&configs.Items[i]))
		}
	}
	slices.SortFunc(w.Pages, func(a, b Page) int { return strings.Compare(a.Name, b.Name) })
	return w, nil
}

func (p *pages) decode(config *corev1.ConfigMap) Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if page, known := p.decoded[config.UID]; known {
		return page
	}
	records, err := study.Decode(config.Data[study.PageKey])
	page := Page{Name: config.Name, Records: records}
	if err != nil {
		page.LeftOut = clip(err.Error(), mostMessage)
	}
	if len(p.decoded) >= mostPages {
		clear(p.decoded)
	}
	p.decoded[config.UID] = page
	return page
}

// prior are the results that an experiment starts from.
func prior(ctx context.Context, c client.Reader, p *pages, e *v1alpha1.Experiment) ([]suggest.Trial, error) {
	if e.Spec.WarmStart == nil {
		return nil, nil
	}
	known := points(e)
	for _, name := range e.Spec.WarmStart.Experiments {
		records, err := recordsOf(ctx, c, p, client.ObjectKey{Namespace: e.Namespace, Name: name})
		if err != nil {
			return nil, err
		}
		known = append(known, evidence(e, name, records)...)
	}
	for i := range known {
		known[i].Prior, known[i].Finished = true, i+1
	}
	return known, nil
}

// recordsOf are the trials of another experiment; none where it is not there.
func recordsOf(ctx context.Context, c client.Reader, p *pages, name client.ObjectKey) ([]study.Record, error) {
	var other v1alpha1.Experiment
	if err := c.Get(ctx, name, &other); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	w, err := p.load(ctx, c, &other, client.MatchingFields{index.OwnerUID: string(other.UID)})
	if err != nil {
		return nil, err
	}
	s, _ := studyOf(&other, w)
	return s.Records, nil
}
