// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// hubKind is what the configuration of a JupyterHub is called, which has no kind of its own.
const hubKind = "JupyterHub"

// traitOf is a trait of the spawner as a jupyterhub_config names it.
var traitOf = regexp.MustCompile(`^c\.(Kube)?Spawner\.`)

// Complete gives what names no kind one, where it is the configuration of a JupyterHub: values of its Helm chart, or the spawner's
// profile_list alone or among its other traits. Anything else comes back as it is.
func Complete(content any) any {
	if list, ok := content.([]any); ok && len(list) > 0 {
		if first, _ := list[0].(map[string]any); first["display_name"] != nil {
			return map[string]any{"apiVersion": "jupyter.org/v1", "kind": hubKind, "profile_list": content}
		}
	}
	values, _ := content.(map[string]any)
	if values["kind"] != nil || values["apiVersion"] != nil || !isHub(values) {
		return content
	}
	typed := maps.Clone(values)
	typed["apiVersion"], typed["kind"] = "jupyter.org/v1", hubKind
	return typed
}

func isHub(values map[string]any) bool {
	for key, value := range values {
		below, _ := value.(map[string]any)
		if slices.Contains([]string{"singleuser", "KubeSpawner", "profile_list"}, key) || traitOf.MatchString(key) || key == "jupyterhub" && isHub(below) {
			return true
		}
	}
	hub, _ := values["hub"].(map[string]any)
	config, _ := hub["config"].(map[string]any)
	return config["KubeSpawner"] != nil
}

// hub is the configuration of a JupyterHub on its way: each of its profiles becomes a Notebook, and each choice of a profile another.
type hub struct {
	*log
	// culling of all notebooks, where the chart says what it is.
	culling map[string]any
	// home is the claim that the servers of a person share.
	home  map[string]any
	named map[string]bool
	made  []map[string]any
}

// hub converts the configuration of a JupyterHub.
func (c Converter) hub(object map[string]any) (Result, error) {
	log := &log{target: "Notebook"}
	h := &hub{log: log, named: map[string]bool{}}
	top := log.open("", runtime.DeepCopyJSON(object))
	top.drop("apiVersion", "kind")
	if nested := top.object("jupyterhub"); nested.given {
		h.all(nested)
	} else {
		h.all(top)
	}
	if log.fault != nil {
		return Result{}, log.fault
	}
	log.leftovers()
	if h.home != nil {
		h.made = append([]map[string]any{h.home}, h.made...)
	}
	return Result{Objects: h.made, Remarks: log.sorted()}, nil
}

// elsewhere is who does here what other parts of the chart are for.
var elsewhere = map[string]string{
	"hub":        "there is no hub: the gateway says who somebody is, and a Profile where he may work (docs/profile.md)",
	"proxy":      "the manager's configuration says how notebooks are reached (docs/notebook.md, Routes)",
	"ingress":    "the manager's configuration says how notebooks are reached (docs/notebook.md, Routes)",
	"scheduling": "the cluster's scheduler places notebooks; what is about nodes goes into their templates",
	"prePuller":  "an image is pulled when a notebook starts",
}

func (h *hub) all(f *fields) {
	base := traits{}
	chart, of := f.object("singleuser"), f.object("hub")
	if chart.given || of.given {
		h.chart(chart, base)
		h.cull(f.object("cull"))
	}
	config := of.object("config")
	for _, from := range []*fields{config.object("Spawner"), config.object("KubeSpawner"), f.object("Spawner"), f.object("KubeSpawner")} {
		base.override(from)
	}
	if of.has("extraConfig") {
		h.lost(of.at("extraConfig"), "it is Python, and may change servers: what it does is not known here")
	}
	if len(of.left)+len(config.left) > 0 {
		h.lost(of.path, "%s", elsewhere["hub"])
	}
	of.left, config.left = nil, nil
	for _, key := range keys(f.left) {
		if traitOf.MatchString(key) || key == "profile_list" || key == "profileList" {
			base.set(snake(traitOf.ReplaceAllString(key, "")), f.at(key), f.take(key))
		} else if why := elsewhere[key]; why != "" {
			f.lose(key, "%s", why)
		}
	}
	h.profiles(base)
}

// cull is the policy by which the chart stops servers; one that says nothing stops them after an hour.
func (h *hub) cull(f *fields) {
	enabled, given := takeAs[bool](f, "enabled", "true or false")
	f.lose("users", "a notebook is stopped, and nobody's account removed")
	f.drop("every", "concurrency", "removeNamedServers", "adminUsers")
	timeout, age := f.number("timeout"), f.number("maxAge")
	h.culling = map[string]any{"idleMinutes": int64(60)}
	if timeout != nil {
		h.culling["idleMinutes"] = (int64(*timeout) + 59) / 60
	}
	if given && !enabled {
		h.culling["idleMinutes"] = int64(0)
	} else if age != nil && *age > 0 {
		h.culling["maxHours"] = (int64(*age) + 3599) / 3600
	}
}

// profiles makes the notebooks of all profiles; of the hub itself where it has none.
func (h *hub) profiles(base traits) {
	list := h.open("", map[string]any{"list": base["profile_list"].value})
	list.paths = map[string]string{"list": base["profile_list"].path}
	delete(base, "profile_list")
	entries := list.objects("list")
	for _, p := range entries {
		h.profile(p, base)
	}
	if len(entries) == 0 {
		h.notebook("lab", base)
	}
	h.note("spec", "each notebook is made stopped, like a profile that nobody has started: mill notebook start NAME; apply them in the namespace of each person's Profile. "+
		"Its pod has the service account default-editor where the namespace has one, and a server of a hub has none")
}

// profile makes a notebook of a profile with the choices that are its defaults, and one for each other choice.
func (h *hub) profile(p *fields, base traits) {
	title, slug, about := p.text("display_name"), p.text("slug"), p.text("description")
	name := h.unique(cmp.Or(slug, title))
	own := base.clone()
	own.override(p.object("kubespawner_override"))
	suffix := ""
	if p.flag("default") {
		suffix = " (the default)"
	}
	h.note(p.path, "notebook %s is %q%s %s", name, title, suffix, about)
	var others []choice
	options := p.object("profile_options")
	if len(options.left) > 1 {
		h.note(options.path, "each choice is combined with the defaults of the other options: other combinations are not written")
	}
	for _, key := range keys(options.left) {
		first, rest := choicesOf(options.object(key))
		if first != nil {
			own.override(first.override)
		}
		others = append(others, rest...)
	}
	h.notebook(name, own)
	for _, c := range others {
		with, name := own.clone(), h.unique(name+"-"+c.key)
		with.override(c.override)
		h.note(c.path, "notebook %s is %q of %q", name, c.title, title)
		h.notebook(name, with)
	}
}

// choice is one of the choices of an option of a profile.
type choice struct {
	key, title, path string
	override         *fields
}

// choicesOf are the choice that is made when nobody chooses, and the others.
func choicesOf(option *fields) (*choice, []choice) {
	option.drop("display_name", "description")
	option.lose("unlisted_choice", "a notebook has no form to fill in: copy one and set the field")
	list := option.object("choices")
	var all []choice
	first := 0
	for _, key := range keys(list.left) {
		f := list.object(key)
		if f.flag("default") {
			first = len(all)
		}
		all = append(all, choice{key, f.text("display_name"), f.path, f.object("kubespawner_override")})
		f.drop("description")
	}
	if len(all) == 0 {
		return nil, nil
	}
	found := all[first]
	return &found, slices.Delete(all, first, first+1)
}

// notLabel is what a name of a Notebook does not have.
var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// unique is a name of a Notebook like a title.
func (h *hub) unique(title string) string {
	name := strings.Trim(notLabel.ReplaceAllString(strings.ToLower(title), "-"), "-")
	if name == "" || name[0] < 'a' {
		name = strings.TrimSuffix("lab-"+name, "-")
	}
	name = strings.TrimRight(name[:min(len(name), longestNotebook)], "-")
	for base, n := name, 2; h.named[name]; n++ {
		name = fmt.Sprintf("%s-%d", base[:min(len(base), longestNotebook-4)], n)
	}
	h.named[name] = true
	return name
}

// notebook makes a notebook from the traits of its spawner.
func (h *hub) notebook(name string, of traits) {
	s := &server{hub: h, fields: of.open(h.log), pod: map[string]any{}, container: map[string]any{"name": "notebook"}}
	spec := map[string]any{"template": s.template()}
	if s.home != nil {
		spec["workspace"] = s.home
	}
	put(spec, "culling", h.culling)
	h.made = append(h.made, map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "Notebook", "spec": spec,
		"metadata": map[string]any{"name": name, "annotations": map[string]any{names.Stopped: "converted"}},
	})
}

// traits are what a spawner is told, by the names of KubeSpawner.
type traits map[string]trait

type trait struct {
	value any
	// path of the field that says so.
	path string
}

// set tells a spawner something; as KubeSpawner does it, a map is merged into the one before, and null takes back what was said.
func (t traits) set(name, path string, value any) {
	over, isMap := value.(map[string]any)
	before, wasMap := t[name].value.(map[string]any)
	switch {
	case value == nil && name == "cmd":
		value = "" // the image's own
	case value == nil:
		delete(t, name)
		return
	case isMap && wasMap:
		value = overlaid(before, over)
	}
	t[name] = trait{value, path}
}

func overlaid(into, from map[string]any) map[string]any {
	all := maps.Clone(into)
	for key, value := range from {
		over, isMap := value.(map[string]any)
		if below, ok := all[key].(map[string]any); ok && isMap {
			value = overlaid(below, over)
		}
		if all[key] = value; value == nil {
			delete(all, key)
		}
	}
	return all
}

// override tells a spawner what a map of traits says.
func (t traits) override(from *fields) {
	for _, key := range keys(from.left) {
		t.set(key, from.at(key), from.left[key])
	}
	from.left = nil
}

func (t traits) clone() traits { return maps.Clone(t) }

// open takes traits to read them; whatever nobody reads is told by the path where it was said.
func (t traits) open(l *log) *fields {
	values, paths := map[string]any{}, map[string]string{}
	for name, one := range t {
		values[name], paths[name] = one.value, one.path
	}
	f := l.open("", runtime.DeepCopyJSON(values))
	f.paths = paths
	return f
}

// snake writes a name of the chart as KubeSpawner does.
func snake(name string) string {
	return strings.ToLower(upper.ReplaceAllString(name, "_$0"))
}

var upper = regexp.MustCompile(`[A-Z]`)
