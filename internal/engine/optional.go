// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Optional knows which kinds of optional APIs the cluster serves now, and watches those it does. The kinds are read and
// written unstructured.
//
// A metadata-only watch on CustomResourceDefinitions tells when a group may have changed; discovery then tells whether the kind is
// served. Kinds that come with the API server itself have no definition: they can change only when the API server
// is replaced, which breaks the watch before its time, so every kind is looked for again whenever that happens.
// Without such events nothing is asked, whether the kinds are there or not.
type Optional struct {
	cache       cache.Cache
	discovery   discovery.DiscoveryInterface
	definitions metadata.ResourceInterface
	look        chan look
	first       chan struct{} // closed when every kind was looked for once

	mu    sync.RWMutex
	kinds map[schema.GroupVersionKind]*optionalKind
	// opened and lasting are of the present watch on definitions.
	opened  time.Time
	lasting time.Duration
}

type optionalKind struct {
	served  bool
	sources []optionalSource
}

// optionalSource is a controller that watches a kind.
type optionalSource struct {
	attach func(cache.Informer) error
	wake   func()
}

// look asks for a group, which may have changed, to be looked for; an empty one means all. After an event discovery is
// behind by a moment, so a group is looked for a few times.
type look struct {
	group string
	again int
}

// looks is how often a group is looked for after an event: at once and after one, two and four seconds more.
const looks = 4

// syncs is how long a kind's first list may take before it is tried again.
const syncs = 30 * time.Second

// retries is the wait before a kind that could not be asked about or listed is tried again.
const retries = time.Minute

var definitionsResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// NewOptional adds the watch on optional kinds to a manager. It needs get, list and watch on CustomResourceDefinitions.
func NewOptional(mgr ctrl.Manager, kinds ...schema.GroupVersionKind) (*Optional, error) {
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("watching optional kinds: %w", err)
	}
	definitions, err := metadata.NewForConfigAndClient(metadata.ConfigFor(mgr.GetConfig()), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("watching optional kinds: %w", err)
	}
	o := &Optional{
		cache: mgr.GetCache(), discovery: disco, definitions: definitions.Resource(definitionsResource),
		look: make(chan look, 100), first: make(chan struct{}), kinds: map[schema.GroupVersionKind]*optionalKind{},
	}
	for _, kind := range kinds {
		o.kinds[kind] = &optionalKind{}
	}
	return o, mgr.Add(o)
}

// Offers are the kinds of optional APIs that a cluster serves, to read. Optional is the one of a real cluster.
type Offers interface {
	client.Reader
	// Serves is true when the cluster serves the kind, and all of it can be read.
	Serves(kind schema.GroupVersionKind) bool
}

// Serves is true when the cluster serves the kind and the cache shows all of it.
func (o *Optional) Serves(kind schema.GroupVersionKind) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	k, known := o.kinds[kind]
	return known && k.served
}

// Get reads an object of an optional kind from the cache.
func (o *Optional) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	if err := o.missing(into.GetObjectKind().GroupVersionKind()); err != nil {
		return err
	}
	return o.cache.Get(ctx, key, into, opts...)
}

// List reads objects of an optional kind from the cache.
func (o *Optional) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	kind := list.GetObjectKind().GroupVersionKind()
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	if err := o.missing(kind); err != nil {
		return err
	}
	return o.cache.List(ctx, list, opts...)
}

func (o *Optional) missing(kind schema.GroupVersionKind) error {
	if o.Serves(kind) {
		return nil
	}
	return &meta.NoKindMatchError{GroupKind: kind.GroupKind(), SearchedVersions: []string{kind.Version}}
}

// NeedLeaderElection lets a manager that waits to lead have its caches ready.
func (o *Optional) NeedLeaderElection() bool { return false }

// Start watches until the context ends.
func (o *Optional) Start(ctx context.Context) error {
	informer := toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			return o.definitions.List(ctx, opts)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			o.reopened(ctx, opts)
			return o.definitions.Watch(ctx, opts)
		},
	}, &metav1.PartialObjectMetadata{}, 0, nil)
	if err := informer.SetTransform(bare); err != nil {
		return fmt.Errorf("watching definitions: %w", err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(d any) { o.changed(ctx, d) },
		UpdateFunc: func(_, d any) { o.changed(ctx, d) },
		DeleteFunc: func(d any) { o.changed(ctx, d) },
	}); err != nil {
		return fmt.Errorf("watching definitions: %w", err)
	}
	go informer.RunWithContext(ctx)
	o.refresh(ctx, look{})
	close(o.first)
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-o.look:
			o.refresh(ctx, next)
		}
	}
}

// bare keeps the name of a definition: the rest, which can be a megabyte, is not needed.
func bare(d any) (any, error) {
	if m, ok := d.(*metav1.PartialObjectMetadata); ok {
		m.Annotations, m.Labels, m.ManagedFields = nil, nil, nil
	}
	return d, nil
}

// reopened notes the time of a watch, and looks for everything when the one before it ended before its time.
func (o *Optional) reopened(ctx context.Context, opts metav1.ListOptions) {
	o.mu.Lock()
	now := time.Now()
	broken := !o.opened.IsZero() && now.Before(o.opened.Add(o.lasting))
	o.opened, o.lasting = now, 0
	if opts.TimeoutSeconds != nil {
		o.lasting = time.Duration(*opts.TimeoutSeconds) * time.Second
	}
	o.mu.Unlock()
	if broken {
		o.ask(ctx, look{})
	}
}

// changed looks for the group of a definition, whose name is resource.group.
func (o *Optional) changed(ctx context.Context, d any) {
	key, err := toolscache.DeletionHandlingMetaNamespaceKeyFunc(d)
	if err != nil {
		return
	}
	_, group, _ := strings.Cut(key, ".")
	for kind := range o.kinds {
		if kind.Group == group {
			o.ask(ctx, look{group: group})
			return
		}
	}
}

func (o *Optional) ask(ctx context.Context, next look) {
	select {
	case o.look <- next:
	case <-ctx.Done():
	}
}

// refresh asks discovery for the kinds of a group and starts or stops their watches.
func (o *Optional) refresh(ctx context.Context, now look) {
	for kind := range o.kinds {
		if now.group != "" && now.group != kind.Group {
			continue
		}
		if err := o.settle(ctx, kind); err != nil {
			log.FromContext(ctx).Error(err, "Looking for an optional kind", "kind", kind)
			time.AfterFunc(retries, func() { o.ask(ctx, look{group: kind.Group, again: looks}) })
		}
	}
	if next := now.again + 1; next < looks && now.group != "" {
		time.AfterFunc(time.Second<<now.again, func() { o.ask(ctx, look{group: now.group, again: next}) })
	}
}

// settle makes the watch of a kind agree with discovery.
func (o *Optional) settle(ctx context.Context, kind schema.GroupVersionKind) error {
	there, err := o.there(kind)
	if err != nil || there == o.Serves(kind) {
		return err
	}
	if !there {
		return o.stop(ctx, kind)
	}
	return o.start(ctx, kind)
}

func (o *Optional) there(kind schema.GroupVersionKind) (bool, error) {
	list, err := o.discovery.ServerResourcesForGroupVersion(kind.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("discovering %s: %w", kind, err)
	}
	for _, r := range list.APIResources {
		if r.Kind == kind.Kind && !strings.Contains(r.Name, "/") {
			return true, nil
		}
	}
	return false, nil
}

// Blank is an empty object of a kind that is unstructured.
func Blank(kind schema.GroupVersionKind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u
}

// start watches a kind, and counts it as served once the cache shows all of it: an empty cache would look like an empty world.
func (o *Optional) start(ctx context.Context, kind schema.GroupVersionKind) error {
	ctx, cancel := context.WithTimeout(ctx, syncs)
	defer cancel()
	informer, err := o.cache.GetInformer(ctx, Blank(kind))
	if err != nil {
		// An informer that cannot list must not go on trying.
		return errors.Join(fmt.Errorf("watching %s: %w", kind, err), o.cache.RemoveInformer(ctx, Blank(kind)))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kinds[kind]
	k.served = true
	for _, s := range k.sources {
		if err := s.attach(informer); err != nil {
			return err
		}
	}
	k.wake()
	return nil
}

func (o *Optional) stop(ctx context.Context, kind schema.GroupVersionKind) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kinds[kind]
	k.served = false
	k.wake()
	return o.cache.RemoveInformer(ctx, Blank(kind))
}

// wake lets every object that depends on the kind be looked at again. It does so apart: whoever lists them may ask Serves.
func (k *optionalKind) wake() {
	for _, s := range k.sources {
		go s.wake()
	}
}

// Source wakes objects of a controller by objects of an optional kind, and everyone when the kind appears or vanishes.
// The controller starts once it is known which kinds there are. Give it to WatchesRawSource.
func (o *Optional) Source(
	kind schema.GroupVersionKind, by handler.EventHandler, everyone func(context.Context) []reconcile.Request,
) source.SyncingSource {
	return &pending{optional: o, kind: kind, by: by, everyone: everyone}
}

type pending struct {
	optional *Optional
	kind     schema.GroupVersionKind
	by       handler.EventHandler
	everyone func(context.Context) []reconcile.Request
}

// Start implements source.Source.
func (p *pending) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	o := p.optional
	o.mu.Lock()
	defer o.mu.Unlock()
	k, known := o.kinds[p.kind]
	if !known {
		return fmt.Errorf("%s was not given to NewOptional", p.kind)
	}
	s := optionalSource{
		attach: func(informer cache.Informer) error {
			return (&source.Informer{Informer: informer, Handler: p.by}).Start(ctx, queue)
		},
		wake: func() {
			for _, request := range p.everyone(ctx) {
				queue.Add(request)
			}
		},
	}
	k.sources = append(k.sources, s)
	if !k.served {
		return nil
	}
	informer, err := o.cache.GetInformer(ctx, Blank(p.kind))
	if err != nil {
		return fmt.Errorf("watching %s: %w", p.kind, err)
	}
	return s.attach(informer)
}

// WaitForSync implements source.SyncingSource.
func (p *pending) WaitForSync(ctx context.Context) error {
	select {
	case <-p.optional.first:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for optional kinds: %w", ctx.Err())
	}
}
