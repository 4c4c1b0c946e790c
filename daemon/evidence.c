#include "daemon/evidence.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

void evidence_init(struct evidence *e)
{
	*e = (struct evidence){.age_s = -1,
			       .quiet_s = -1,
			       .silent_s = -1,
			       .gap_s = -1,
			       .rtt_ms = -1,
			       .ack_ago_s = -1,
			       .slept_ago_s = -1,
			       .slept_s = -1,
			       .address_ago_s = -1,
			       .route_ago_s = -1,
			       .gap_lived_s = -1,
			       .gap_died_s = -1,
			       .age_died_s = -1};
}

void evidence_tcp(struct evidence *e, int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	/* An older kernel fills less of it: what is missing stays 0. */
	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
	    len < offsetof(struct tcp_info, tcpi_rcv_rtt))
		return;
	e->has_tcp = true;
	e->retransmits = info.tcpi_retransmits;
	e->total_retrans = info.tcpi_total_retrans;
	e->unacked = info.tcpi_unacked;
	if (info.tcpi_bytes_sent > info.tcpi_bytes_retrans + info.tcpi_bytes_acked)
		e->inflight = (unsigned)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans -
					 info.tcpi_bytes_acked);
	e->notsent = info.tcpi_notsent_bytes;
	e->pmtu = info.tcpi_pmtu;
	e->mss = info.tcpi_snd_mss;
	e->sacked = info.tcpi_sacked;
	e->out_of_order = info.tcpi_rcv_ooopack;
	e->acked = info.tcpi_bytes_acked;
	e->received = info.tcpi_bytes_received;
	e->largest_in = info.tcpi_rcv_mss;
	e->ack_ago_s = (double)info.tcpi_last_ack_recv / 1e3;
	if (e->quiet_s < 0)
		e->quiet_s = (double)info.tcpi_last_data_recv / 1e3;
	if (e->silent_s < 0)
		e->silent_s = (double)info.tcpi_last_data_sent / 1e3;
}
