# SPDX-License-Identifier: Apache-2.0
# usage: client.py IN.json OUT.json   (runs inside the sandbox; raw sockets only)
import socket,sys,json,time,threading,ssl,errno,os
PROXY=('10.200.0.1',3128)
IDLE=.4
def compose(c):
    if c.get('raw') is not None: return c['raw'].encode('latin1')
    b='%s %s HTTP/1.1\r\n'%(c['method'],c['target'])+''.join('%s: %s\r\n'%(k,v) for k,v in c['headers'])+'\r\n'+(c.get('body') or '')
    return b.encode('latin1')
class Rd:
    def __init__(self,s): self.s=s; self.buf=b''; self.end=None
    def fill(self,t):
        if self.end: return False
        self.s.settimeout(max(t,.01))
        try: d=self.s.recv(65536)
        except (socket.timeout,ssl.SSLWantReadError): return None
        except OSError as e:
            self.end='reset' if e.errno in(errno.ECONNRESET,errno.EPIPE) else 'err:'+type(e).__name__; return False
        if not d: self.end='eof'; return False
        self.buf+=d; return True
    def resp(self,head,dl):
        """parse one response; returns dict or None"""
        while b'\r\n\r\n' not in self.buf:
            r=self.fill(dl-time.time())
            if r is None or not r:
                return None
        hd,rest=self.buf.split(b'\r\n\r\n',1)
        ls=hd.decode('latin1').split('\r\n'); sl=ls[0].split(' ',2)
        try: st=int(sl[1])
        except Exception: return None
        hs=[[x.partition(':')[0],x.partition(':')[2].strip()] for x in ls[1:]]
        low={k.lower():v for k,v in hs}
        R={'status':st,'line':ls[0],'headers':hs,'body':''}
        self.buf=rest
        if st<200 or st in(204,304) or head: return R
        if low.get('transfer-encoding','').lower()=='chunked':
            b=b''
            while 1:
                while b'\r\n' not in self.buf:
                    if not self.fill(dl-time.time()): R['truncated']=1; R['body']=b.decode('latin1'); return R
                ln,self.buf=self.buf.split(b'\r\n',1); n=int(ln.split(b';')[0],16)
                if n==0:
                    while 1:
                        while b'\r\n' not in self.buf:
                            if not self.fill(dl-time.time()): R['truncated']=1; break
                        if b'\r\n' not in self.buf: break
                        ln,self.buf=self.buf.split(b'\r\n',1)
                        if not ln: break
                        R.setdefault('trailers',[]).append(ln.decode('latin1'))
                    break
                while len(self.buf)<n+2:
                    if not self.fill(dl-time.time()): R['truncated']=1; R['body']=(b+self.buf).decode('latin1'); return R
                b+=self.buf[:n]; self.buf=self.buf[n+2:]
            R['body']=b.decode('latin1'); return R
        if 'content-length' in low:
            n=int(low['content-length'])
            while len(self.buf)<n:
                if not self.fill(dl-time.time()): R['truncated']=1; break
            R['body']=self.buf[:n].decode('latin1'); self.buf=self.buf[n:]; return R
        R['noframing']=1
        while self.fill(min(dl-time.time(),1.0)): pass
        R['body']=self.buf.decode('latin1'); self.buf=b''
        return R
def run(c):
    o={'id':c['id'],'responses':[]}
    try:
        if c['via']=='direct':
            h,p=c['connect'].rsplit(':',1)
            s=socket.create_connection((h.strip('[]'),int(p)),timeout=4)
        else: s=socket.create_connection(PROXY,timeout=5)
        s.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1)
    except OSError as e:
        o['connect_error']=errno.errorcode.get(e.errno,type(e).__name__); return o
    T=c.get('timeout',6)
    r=Rd(s)
    try:
        if c['via']=='connect':
            cr=c.get('connect_raw')
            s.sendall((cr if cr is not None else 'CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n'%(c['connect'],c['connect'])).encode('latin1'))
            x=r.resp(True,time.time()+T) if not r.buf else None
            if x and x['status']!=200:
                # denial: read the body
                low={k.lower():v for k,v in x['headers']}
                n=int(low.get('content-length') or 0); t=time.time()+2
                while len(r.buf)<n and r.fill(t-time.time()): pass
                x['body']=r.buf[:n].decode('latin1'); r.buf=r.buf[n:]
            o['connect']=x
            if not x or x['status']!=200:
                if not x: 
                    if not r.end: r.fill(.5)
                r.fill(IDLE); o['after']=r.end or 'open'; return o
            if c.get('tls'):
                ctx=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); ctx.check_hostname=False; ctx.verify_mode=ssl.CERT_NONE
                if c.get('alpn'): ctx.set_alpn_protocols(c['alpn'])
                if c.get('verify'):
                    ctx.check_hostname=True; ctx.verify_mode=ssl.CERT_REQUIRED; ctx.load_verify_locations(os.environ.get('SSL_CERT_FILE') or '/etc/ssl/certs/ca-certificates.crt')
                try:
                    s.settimeout(T); s=ctx.wrap_socket(s,server_hostname=c.get('sni') or c['connect'].rsplit(':',1)[0]); 
                    iss=None
                    if c.get('verify'):
                        pc=s.getpeercert(); iss=[v for rdn in pc['issuer'] for k,v in rdn if k in('commonName','organizationName')]
                    o['tls']={'version':s.version(),'alpn':s.selected_alpn_protocol(),'issuer':iss}
                except Exception as e: o['tls_error']=type(e).__name__+': '+str(e)[:160]; return o
                r=Rd(s)
        def snd(b):
            try: s.sendall(b)
            except OSError as e: o['send_error']=errno.errorcode.get(e.errno,type(e).__name__)
        if c.get('parts'):
            for i,(d,w) in enumerate(c['parts']):
                snd(d.encode('latin1')); time.sleep(w)
        else: snd(compose(c))
        if c.get('halfclose'):
            s.shutdown(socket.SHUT_WR)
        heads=c.get('heads') or [c.get('method')=='HEAD']
        n=c.get('nresp',1); dl=time.time()+T; i=0
        thens=list(c.get('then') or [])
        while 1:
            head=heads[i] if i<len(heads) else False
            x=r.resp(head,dl)
            if x is None: break
            o['responses'].append(x)
            if x['status']>=200: i+=1
            if c.get('raw_after'): break
            if thens and x['status']>=200:
                t=thens.pop(0); snd(t.encode('latin1')); dl=time.time()+T; continue
            if thens and x['status']==100 and c.get('after100'):
                t=thens.pop(0); snd(t.encode('latin1')); dl=time.time()+T; continue
            dl=time.time()+(T if i<n else IDLE)
        if c.get('raw_after'):
            for d in c['raw_after']: snd(d.encode('latin1')); 
            t=time.time()+1.2
            while r.fill(t-time.time()): pass
        if not r.end: r.fill(IDLE if not o['responses'] else .05)
        o['after']=r.end or 'open'
        if r.buf: o['extra']=r.buf[:400].decode('latin1')
    except Exception as e:
        o['client_error']=type(e).__name__+': '+str(e)[:200]
    finally:
        try: s.close()
        except Exception: pass
    return o
def main():
    cs=json.load(open(sys.argv[1])); out=[None]*len(cs); it=iter(range(len(cs))); lk=threading.Lock()
    def w():
        while 1:
            with lk:
                i=next(it,None)
            if i is None: return
            try: out[i]=run(cs[i])
            except Exception as e: out[i]={'id':cs[i]['id'],'client_error':repr(e),'responses':[]}
    ts=[threading.Thread(target=w) for _ in range(int(os.environ.get('PAR','12')))]
    [t.start() for t in ts];[t.join() for t in ts]
    json.dump(out,open(sys.argv[2],'w'))
main()
