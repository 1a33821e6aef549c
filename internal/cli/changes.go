// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// change is an object as it is now, or its deletion.
type change struct {
	object  client.Object
	deleted bool
}

// again is the wait before a broken watch is opened anew.
const again = time.Second

// changes sends every object of a list and then each that changes, until the context ends. A watch that breaks is
// opened again with a new list: objects may then come twice, and those that vanished meanwhile come as deleted. Only a
// first list that fails is an error.
func (c *Cluster) changes(ctx context.Context, list client.ObjectList, opts ...client.ListOption) (<-chan change, error) {
	f := &feed{cluster: c, list: list, opts: opts, out: make(chan change), known: map[client.ObjectKey]client.Object{}}
	first, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	go f.run(ctx, first)
	return f.out, nil
}

// feed is one stream of changes.
type feed struct {
	cluster *Cluster
	list    client.ObjectList
	opts    []client.ListOption
	out     chan change
	known   map[client.ObjectKey]client.Object
}

func (f *feed) run(ctx context.Context, objects []client.Object) {
	defer close(f.out)
	for {
		if !f.resend(ctx, objects) {
			return
		}
		f.watch(ctx)
		for {
			if !pause(ctx, again) {
				return
			}
			var err error
			if objects, err = f.read(ctx); err == nil {
				break
			}
		}
	}
}

func (f *feed) read(ctx context.Context) ([]client.Object, error) {
	if err := f.cluster.List(ctx, f.list, f.opts...); err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(f.list)
	if err != nil {
		return nil, fmt.Errorf("reading a list: %w", err)
	}
	var objects []client.Object
	for _, item := range items {
		if o, ok := item.(client.Object); ok {
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// resend sends the objects of a list, and those that are no longer in it as deleted.
func (f *feed) resend(ctx context.Context, objects []client.Object) bool {
	gone := f.known
	f.known = map[client.ObjectKey]client.Object{}
	for _, o := range objects {
		delete(gone, client.ObjectKeyFromObject(o))
		if !f.send(ctx, change{object: o}) {
			return false
		}
	}
	for _, o := range gone {
		if !f.send(ctx, change{object: o, deleted: true}) {
			return false
		}
	}
	return true
}

func (f *feed) send(ctx context.Context, c change) bool {
	key := client.ObjectKeyFromObject(c.object)
	if c.deleted {
		delete(f.known, key)
	} else {
		f.known[key] = c.object
	}
	select {
	case f.out <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// watch forwards what changes since the last list, until the watch breaks.
func (f *feed) watch(ctx context.Context) {
	opts := append([]client.ListOption{}, f.opts...)
	since := &client.ListOptions{}
	since.ApplyOptions(opts)
	since.Raw = sinceVersion(f.list.GetResourceVersion())
	w, err := f.cluster.Watch(ctx, f.list, since)
	if err != nil {
		return
	}
	defer w.Stop()
	for {
		select {
		case event, open := <-w.ResultChan():
			if !open || !f.forward(ctx, event) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// forward sends the object of an event; false when the watch is of no more use.
func (f *feed) forward(ctx context.Context, event watch.Event) bool {
	o, ok := event.Object.(client.Object)
	if !ok || event.Type == watch.Error || event.Type == watch.Bookmark {
		return false
	}
	return f.send(ctx, change{object: o, deleted: event.Type == watch.Deleted})
}

// pause waits; it is false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
