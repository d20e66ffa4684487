package netlink

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/ports/porttest"
)

func TestContract(t *testing.T) {
	porttest.TestLinks(t, func(t *testing.T) porttest.LinksHarness {
		l := privateHost(t)
		return porttest.LinksHarness{
			Links:  l,
			Bridge: testBridge,
			Netns:  func(t *testing.T) *os.File { return newNamespace(t) },
			Drop: func(t *testing.T, namespace *os.File) {
				before := seen(t, l.home)
				inside := seen(t, namespace)
				require.NoError(t, namespace.Close())
				for range inside {
					for _, link := range before {
						if link.Bridge == testBridge {
							require.NoError(t, l.awaitGone(context.Background(), link.Name, link.Index))
						}
					}
				}
			},
			Host:  func(t *testing.T) []porttest.SeenLink { return seen(t, l.home) },
			Guest: func(t *testing.T, namespace *os.File) []porttest.SeenLink { return seen(t, namespace) },
		}
	})
}
