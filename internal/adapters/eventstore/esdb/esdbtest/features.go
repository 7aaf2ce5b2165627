package esdbtest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
)

// featuresService tells clients, before their first call, what they may call.
type featuresService struct {
	serverfeatures.UnimplementedServerFeaturesServer
	server *Server
	all    func() map[string]grpc.ServiceInfo
}

// features are those of methods that grew since they were first served. Names are in lower case, as in the answer.
var features = map[string][]string{
	"event_store.client.streams.streams/read":        {"position", "events"},
	"event_store.client.streams.streams/batchappend": {"deadline_duration"},
}

// persistent is listed and not served: a client that looks for it must find the list of a real server, which always
// has it.
const persistent = "event_store.client.persistent_subscriptions.persistentsubscriptions"

func (f *featuresService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	answer := &serverfeatures.SupportedMethods{EventStoreServerVersion: f.server.cfg.Version}
	services := f.all()
	for _, service := range slices.Sorted(maps.Keys(services)) {
		for _, m := range services[service].Methods {
			name, method := strings.ToLower(service), strings.ToLower(m.Name)
			answer.Methods = append(answer.Methods, &serverfeatures.SupportedMethod{
				ServiceName: name, MethodName: method, Features: features[name+"/"+method],
			})
		}
	}
	for _, method := range []string{"create", "update", "delete", "read", "getinfo", "list", "replayparked", "restartsubsystem"} {
		answer.Methods = append(answer.Methods, &serverfeatures.SupportedMethod{
			ServiceName: persistent, MethodName: method, Features: []string{"stream", "all"},
		})
	}
	return answer, nil
}
